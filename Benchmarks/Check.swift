import ArgumentParser

/// A small run of each benchmark that needs no server.
struct Check: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Runs each part a little, and compares the hash of its results with what it is to be.")

  /// Each part's name, the hash of its results, and the run that gives it. A hash changes only with the work that is measured.
  private static let parts: [(name: String, hash: String, run: @Sendable () async throws -> ResultHash)] = [
    ("load", "19a127e3ef9bc0e8", EventTemplate.check), ("runs", "32dcd294186c8f6d", RunsSample.check),
  ]

  func run() async throws {
    var wrong: [String] = []
    for part in Check.parts {
      let found = try await part.run().text
      print("\(part.name) \(found)")
      if found != part.hash { wrong.append("\(part.name) has the result hash \(found), not \(part.hash)") }
    }
    guard wrong.isEmpty else { throw BenchError(wrong.joined(separator: "; ")) }
  }
}

extension EventTemplate {
  /// The frames that a connection of `load` sends.
  @Sendable static func check() throws -> ResultHash {
    var hash = ResultHash()
    for (batch, sources) in [(1, 1), (7, 50), (100, 1000)] {
      var template = EventTemplate(
        batch: batch, sequence: 0, source: 4000, time: timeText(milliseconds: 1_700_000_000_000), maskKey: [0x5A, 1, 0x3C, 0xC7])
      for message in 0..<20 {
        template.advance(
          sequence: UInt64(message * batch) + 1, sourceBase: 4000, sourceCount: UInt64(sources),
          time: timeText(milliseconds: 1_700_000_000_000 + Int64(message) * 123))
        template.frame.withUnsafeBytes { hash.add($0) }
      }
    }
    return hash
  }
}
