import ArgumentParser
import Foundation

#if canImport(Glibc)
  import CEpoll
#endif

/// The exit codes of the contract: 0 done, 1 failed, 2 usage or configuration, 3 verification found a difference.
@main
enum Main {
  static func main() async {
    ignoreBrokenPipes()
    keepFilesToOurselves()
    limitHeaps()
    let code = await run(Array(CommandLine.arguments.dropFirst()))
    exit(code)
  }

  static func run(_ arguments: [String]) async -> Int32 {
    do {
      var command = try PenstockCommand.parseAsRoot(arguments)
      if var command = command as? any AsyncParsableCommand {
        try await command.run()
      } else {
        try command.run()
      }
      return 0
    } catch {
      return report(error)
    }
  }

  /// New folders get mode 0700, new files 0600, whatever creates them: events and views are not for every user of the machine.
  private static func keepFilesToOurselves() {
    umask(0o077)
  }

  /// Two heaps a core. glibc takes eight, and memory that is freed in one is of no use to threads of another: 256 streams
  /// that had ended left 270 MiB in 16 heaps, and 100 MiB in 4.
  private static func limitHeaps() {
    #if canImport(Glibc)
      _ = mallopt(M_ARENA_MAX, Int32(2 * ProcessInfo.processInfo.activeProcessorCount))
    #endif
  }

  /// Prints the message for an error, and gives the exit code.
  private static func report(_ error: any Error) -> Int32 {
    switch error {
    case is OutputClosed: return 0
    case let error as CommandFailure:
      StandardStream.error.note("penstock: \(error)")
      return error.exitCode.rawValue
    case let error as ConfigurationError:
      StandardStream.error.note("penstock: \(error)")
      return CommandFailure.Code.usage.rawValue
    default: break
    }
    let message = PenstockCommand.fullMessage(for: error)
    switch PenstockCommand.exitCode(for: error) {
    case .success:
      // Help and version were asked for, so they are data.
      if !message.isEmpty { StandardStream.output.note(message) }
      return 0
    case .validationFailure:
      StandardStream.error.note(message)
      return CommandFailure.Code.usage.rawValue
    case let code:
      if !message.isEmpty { StandardStream.error.note("penstock: \(error)") }
      return code.rawValue
    }
  }
}
