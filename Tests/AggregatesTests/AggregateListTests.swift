import Events
import Expressions
import Testing

@testable import Aggregates

#if canImport(Glibc)
  import Glibc
#else
  import Darwin
#endif

@Suite("The list of aggregates")
struct AggregateListTests {
  @Test("docs/views.md has every aggregate of the list in its table, in its words, and no other")
  func documented() throws {
    let path = #filePath.split(separator: "/").dropLast(3).reduce("") { "\($0)/\($1)" } + "/docs/views.md"
    let file = try #require(fopen(path, "rb"))
    defer { fclose(file) }
    var bytes: [UInt8] = []
    var buffer = Array(repeating: UInt8(0), count: 65536)
    while case let count = fread(&buffer, 1, buffer.count, file), count > 0 { bytes += buffer[..<count] }
    let lines = String(decoding: bytes, as: UTF8.self).split(separator: "\n").map(String.init)
    let head = try #require(lines.firstIndex { $0.hasPrefix("| aggregate |") })
    let rows = Array(lines[(head + 2)...].prefix { $0.hasPrefix("|") })
    #expect(rows == AggregateFunction.all.map(\.documentation))
  }

  @Test("every function is found by its name and arity, once")
  func found() {
    for function in AggregateFunction.all {
      let known = AggregateFunction.named(function.name, takesArgument: function.argument != .none)
      #expect(known == function, "\(function.name)")
      let times = AggregateFunction.all.filter { $0 == function }.count
      #expect(times == 1, "\(function.name)")
    }
  }

  @Test("cells keep their promises: a row of every aggregate is canonical before any event, and its result is the documented one")
  func initial() {
    let layout = StateLayout(AggregateFunction.all.map { .init(function: $0, argument: $0.argument == .none ? nil : 0) })
    layout.initialWords.withUnsafeBufferPointer { words in
      #expect(layout.isCanonical(words))
      for (index, function) in AggregateFunction.all.enumerated() {
        let documented = String(function.emptyResult.prefix { $0 != "," })
        #expect(layout.value(of: index, in: words).json == documented, "\(function.name)")
      }
    }
  }
}
