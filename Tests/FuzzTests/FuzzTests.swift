import Foundation
import TestSupport
import Testing

/// Feeds each target with its corpus, and with changes of it. `PENSTOCK_FUZZ_MINUTES=5` for as long as one likes,
/// `PENSTOCK_FUZZ_SEED` to repeat a run. An input that traps is left in a file, whose name the next run prints; put it into the
/// corpus, and it is a test.
@Suite("Fuzzing")
struct FuzzTests {
  private static let environment = ProcessInfo.processInfo.environment
  private static let seed = environment["PENSTOCK_FUZZ_SEED"].flatMap(UInt64.init) ?? UInt64.random(in: 0..<1 << 32)
  private static let minutes = environment["PENSTOCK_FUZZ_MINUTES"].flatMap(Double.init)
  /// Changed inputs of each target where no time is given.
  private static let inputs = 1500

  private static func corpus(of target: FuzzTarget) throws -> [(name: String, input: [UInt8])] {
    let folder = URL(filePath: #filePath).deletingLastPathComponent().appending(path: "Corpus/\(target.name)")
    return try FileManager.default.contentsOfDirectory(atPath: folder.path).sorted().map { name in
      (name, Array(try Data(contentsOf: folder.appending(path: name))))
    }
  }

  @Test("every input of the corpus is taken or refused", arguments: FuzzTarget.all)
  func corpus(target: FuzzTarget) throws {
    let inputs = try FuzzTests.corpus(of: target)
    #expect(!inputs.isEmpty)
    for (name, input) in inputs {
      do { try target.run(input) } catch { Issue.record("\(target.name)/\(name): \(error)") }
    }
    for input in target.seeds() { try target.run(input) }
  }

  @Test("so is what comes of them by chance", arguments: FuzzTarget.all)
  func mutations(target: FuzzTarget) throws {
    let record = try #require(InputRecord(target.name))
    if let input = record.unfinished {
      let kept = record.path + ".\(input.count)-bytes"
      try Data(input).write(to: URL(filePath: kept))
      record.end()
      Issue.record("an earlier run did not survive an input, kept as \(kept): put it into Corpus/\(target.name)")
    }
    let corpus = try FuzzTests.corpus(of: target).map(\.input) + target.seeds()
    var mutator = Mutator(corpus: corpus, dictionary: target.dictionary, seed: FuzzTests.seed)
    let end = FuzzTests.minutes.map { ContinuousClock.now + .seconds($0 * 60) }
    var count = 0
    while end.map({ ContinuousClock.now < $0 }) ?? (count < FuzzTests.inputs) {
      let input = mutator.next()
      record.begin(input)
      do {
        try target.run(input)
      } catch {
        let kept = record.path + ".wrong-\(input.count)-bytes"
        try Data(input).write(to: URL(filePath: kept))
        Issue.record("seed \(FuzzTests.seed), input \(count), kept as \(kept): \(error)")
      }
      count += 1
    }
    record.end()
    if FuzzTests.minutes != nil {
      FileHandle.standardError.write(Data("\(target.name): \(count) inputs, seed \(FuzzTests.seed)\n".utf8))
    }
  }
}
