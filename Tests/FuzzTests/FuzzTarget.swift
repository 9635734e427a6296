import Testing

/// One thing to be fed with bytes that nobody meant it to get. Its `run` traps, or throws what it found, when something is wrong;
/// input that is refused is right.
struct FuzzTarget: Sendable, CustomTestStringConvertible {
  let name: String
  /// Pieces that inputs may hold: words of the grammar, magic numbers.
  let dictionary: [[UInt8]]
  /// Inputs to begin with, beside those in the folder of the corpus.
  let seeds: @Sendable () -> [[UInt8]]
  let run: @Sendable ([UInt8]) throws -> Void

  var testDescription: String { name }

  static let all: [FuzzTarget] = [.batch, .json, .webSocket, .expression, .query]
}

/// A fault that a target found.
struct FuzzFinding: Error, CustomStringConvertible {
  let description: String
  init(_ description: String) { self.description = description }
}

extension FuzzTarget {
  static func words(_ texts: String...) -> [[UInt8]] { texts.map { Array($0.utf8) } }
}
