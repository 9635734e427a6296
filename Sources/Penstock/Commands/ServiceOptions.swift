import ArgumentParser
import Foundation
import HTTPClient

/// `--url`, on the commands that ask the query service.
struct ServiceOptions: ParsableArguments {
  @Option(help: ArgumentHelp("Where the query service listens.", valueName: "url"))
  var url = "http://127.0.0.1:8080"

  @OptionGroup var security: SecurityOptions

  func client() throws -> ServiceClient {
    guard let parsed = ServiceURL(url, schemes: ["http", "https"]) else { return try ServiceClient(baseURL: url) }
    return try ServiceClient(baseURL: url, security: try security.load(for: parsed))
  }
}

extension OutputOptions {
  /// Whether this command's output is coloured.
  var color: Bool { usesColor(.output, environment: ProcessInfo.processInfo.environment) }
}
