import ArgumentParser

/// The reason why a command failed, in words that say what to do.
struct CommandFailure: Error, Hashable, CustomStringConvertible {
  enum Code: Int32, Hashable, Sendable {
    case failed = 1
    /// A fault of usage or configuration.
    case usage = 2
    /// Verification found a difference.
    case difference = 3
  }

  var message: String
  var exitCode: Code

  init(_ message: String, exitCode: Code = .failed) {
    self.message = message
    self.exitCode = exitCode
  }

  var description: String { message }
}
