import ArgumentParser
import Foundation

/// `--url`, on the commands that ask the query service.
struct ServiceOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Where the query service listens.", valueName: "url"))
  var url = "http://127.0.0.1:8080"

  func client() throws -> ServiceClient { try ServiceClient(baseURL: url) }
}

extension OutputOptions {
  /// Whether this command's output is coloured.
  var color: Bool { usesColor(.output, environment: ProcessInfo.processInfo.environment) }
}
