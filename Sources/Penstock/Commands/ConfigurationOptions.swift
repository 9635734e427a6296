import ArgumentParser
import Foundation

/// The flags that name a command's configuration.
struct ConfigurationOptions: ParsableArguments {
  @Option(help: ArgumentHelp("The configuration file (default: config/penstock.yaml, if it is there).", valueName: "file"))
  var config: String?

  @Option(help: ArgumentHelp("The folder of the log and the views' state (default: ./data).", valueName: "dir"))
  var data: String?

  @Option(help: ArgumentHelp("The file that defines the views (default: config/views.yaml).", valueName: "file"))
  var views: String?

  @Option(
    name: .customLong("set"),
    help: ArgumentHelp("Set any key, as --set log.sync=interval; repeatable, after all else.", valueName: "key=value"))
  var assignments: [String] = []

  func load(environment: [String: String] = ProcessInfo.processInfo.environment) throws -> ConfigurationLoader.Loaded {
    var flags: [(key: String, text: String, flag: String)] = []
    if let data { flags.append(("data", data, "--data")) }
    if let views { flags.append(("views", views, "--views")) }
    for assignment in assignments {
      guard let equals = assignment.firstIndex(of: "=") else {
        throw CommandFailure("--set: expected KEY=VALUE, as log.sync=interval, not '\(assignment)'", exitCode: .usage)
      }
      flags.append((String(assignment[..<equals]), String(assignment[assignment.index(after: equals)...]), "--set"))
    }
    return try ConfigurationLoader(configPath: config, environment: environment, flags: flags).load()
  }
}
