import ArgumentParser
import Foundation
import Testing

@testable import Penstock

/// The executable of the build that these tests belong to.
private let executable: URL =
  // On Linux the tests are a file beside it.
  URL(filePath: "/proc/self/exe").resolvingSymlinksInPath().deletingLastPathComponent().appending(path: "penstock")

private struct Outcome {
  var code: Int32
  var output: String
  var error: String
}

/// Runs `penstock` in an empty environment and a folder without a configuration.
private func penstock(
  _ arguments: [String], environment: [String: String] = [:], closingOutput: Bool = false
) throws -> Outcome {
  let process = Process()
  process.executableURL = executable
  process.arguments = arguments
  process.environment = environment
  process.currentDirectoryURL = FileManager.default.temporaryDirectory
  let (output, error) = (Pipe(), Pipe())
  process.standardInput = FileHandle.nullDevice
  process.standardOutput = output
  process.standardError = error
  if closingOutput { try output.fileHandleForReading.close() }
  try process.run()
  if closingOutput { try output.fileHandleForWriting.close() }
  // Both are far smaller than a pipe's buffer, so reading one after the other cannot block.
  let read = closingOutput ? Data() : try output.fileHandleForReading.readToEnd() ?? Data()
  let told = try error.fileHandleForReading.readToEnd() ?? Data()
  process.waitUntilExit()
  return Outcome(
    code: process.terminationReason == .exit ? process.terminationStatus : -process.terminationStatus,
    output: String(decoding: read, as: UTF8.self), error: String(decoding: told, as: UTF8.self))
}

/// Every command, as its words: `["view", "list"]`.
private func commands(below command: any ParsableCommand.Type = PenstockCommand.self, path: [String] = []) -> [[String]] {
  [path]
    + command.configuration.subcommands.flatMap { subcommand in
      commands(below: subcommand, path: path + [subcommand.configuration.commandName ?? subcommand._commandName])
    }
}

@Suite(.timeLimit(.minutes(1))) struct CommandTests {
  @Test("every command of this version is there, and explains itself")
  func help() throws {
    let all = commands().map { $0.joined(separator: " ") }
    #expect(
      Set(all) == [
        "", "up", "demo", "send", "simulate", "query", "sql", "events", "sources", "rejects", "top", "view", "view list", "view show",
        "view check", "view apply", "view diff", "view promote", "view rollback", "view drop", "view remove", "view export",
        "view verify", "replay", "ingest", "compute",
        "log", "log serve", "log list",
        "log inspect", "log verify", "log export", "log repair", "log retain", "config", "config check", "config reference",
      ])
    for path in commands() {
      let outcome = try penstock(path + ["--help"])
      #expect(outcome.code == 0, "\(path)")
      #expect(outcome.output.contains("USAGE: penstock"), "\(path)")
      #expect(outcome.error == "", "\(path)")
    }
  }

  @Test("the version is data on standard output")
  func version() throws {
    let outcome = try penstock(["--version"])
    #expect(outcome.output == "penstock \(penstockVersion)\n")
    #expect(outcome.code == 0)
  }

  @Test(
    "a wrong use ends with 2, and says what is right on standard error",
    arguments: [
      (["frobnicate"], "frobnicate"), (["query", "v", "--limit", "0"], "expected 1 or more"),
      (["query", "v", "--output", "xml"], "table, json or csv"), (["query", "v", "--url", "nonsense"], "http://127.0.0.1:8080"),
      (["send", "f", "--connections", "0"], "1 to 1024"), (["send", "f", "--batch", "10001"], "1 to 10000"),
      (["simulate", "--devices", "0"], "1 to 1000000"), (["simulate", "--duration", "soon"], "30s or 5m"),
      (["simulate", "--backlog", "1d"], "needs --every"), (["simulate", "--offline", "0.1=5m"], "needs --every"),
      (["simulate", "--every", "1s", "--offline", "5m"], "as 0.1=5m"), (["simulate", "--clock-ahead", "2=1h"], "as 0.1=5m"),
      (["simulate", "--every", "1s", "--offline", "0.1=-5m"], "above 0"),
      (["simulate", "--clock-ahead", "0.6=1h", "--clock-ahead", "0.6=-1h"], "more than 1"),
      (["simulate", "--start", "1969-01-01T00:00:00Z"], "from 1970 to 2100"), (["simulate", "--every", "0s"], "above 0"),
      (["simulate", "--rate", "0"], "more than 0"), (["log", "inspect", "--from", "-1"], "--from"),
      (["log", "export", "--from", "soon"], "RFC 3339"), (["log", "repair", "--keep", "all"], "before"),
      (["log", "retain"], "log.retention keeps all"), (["send", "f", "--rate", "0"], "more than 0"),
      (["send", "f", "--url", "http://x"], "ws://"),
      (["up", "--set", "log.sync"], "KEY=VALUE"), (["up", "--set", "log.sink=x"], "did you mean 'log.sync'?"),
      (["up", "--log-level", "loud"], "trace, debug"),
      (["up", "--set", "query.listen=0.0.0.0:80"], "set auth.tokens, auth.jwks or auth.hs256_secret"),
      (["demo", "--config", "/no/such/file"], "no such file"), (["config", "check", "--set", "log.partitions=0"], "1 to 1024"),
      (["view", "check", "/no/such/file"], "no such file"),
    ])
  func usage(arguments: [String], expected: String) throws {
    let outcome = try penstock(arguments)
    #expect(outcome.code == 2)
    #expect(outcome.output == "")
    #expect(outcome.error.contains(expected), "\(outcome.error)")
  }

  @Test("nobody there is a failure, 1", arguments: [["query", "v"], ["events"], ["top"], ["view", "list"]])
  func nobody(arguments: [String]) throws {
    let outcome = try penstock(arguments + ["--url", "http://127.0.0.1:1"])
    #expect(outcome.code == 1)
    #expect(outcome.error == "penstock: no Penstock answers at http://127.0.0.1:1: start it with `penstock up`, or pass --url\n")
  }

  @Test("config check prints every key in each format, from each layer")
  func configCheck() throws {
    let environment = ["PENSTOCK_LOG__SYNC": "never"]
    let table = try penstock(["config", "check", "--set", "log.partitions=3"], environment: environment)
    #expect(table.code == 0)
    #expect(table.output.split(separator: "\n").count == SettingKeys.all.count + 1)
    #expect(table.output.contains("env PENSTOCK_LOG__SYNC"))

    let asJSON = try json(
      penstock(["config", "check", "--data", "d", "--output", "json"], environment: environment).output)
    let rows = try #require(asJSON.array)
    #expect(rows.compactMap { $0["key"]?.string } == SettingKeys.all.map(\.name))
    #expect(rows[0].text == #"{"key":"data","value":"d","origin":"flag --data"}"#)
    #expect(rows.first { $0["key"]?.string == "log.retention.age" }?["value"] == .null)

    let csv = try penstock(["config", "check", "-o", "csv"], environment: environment).output
    #expect(csv.hasPrefix("key,value,origin\r\ndata,./data,default\r\n"))
    #expect(csv.contains("log.sync,never,env PENSTOCK_LOG__SYNC\r\n"))
    #expect(csv.contains("log.retention.age,null,default\r\n"))
  }

  @Test(
    "a reader that has enough does not look like a crash",
    arguments: [["config", "check"], ["config", "reference"], ["--help"]])
  func closedOutput(arguments: [String]) throws {
    let outcome = try penstock(arguments, closingOutput: true)
    #expect(outcome.code == 0)
    #expect(outcome.error == "")
  }

  @Test("what log options say in the environment is checked too")
  func logEnvironment() throws {
    let outcome = try penstock(["up"], environment: ["PENSTOCK_LOG_LEVEL": "loud"])
    #expect(outcome.code == 2)
    #expect(outcome.error.contains("PENSTOCK_LOG_LEVEL: expected one of trace, debug"))
  }

  @Test("what send is asked for reaches the client")
  func sendOptions() throws {
    let command = try #require(
      try PenstockCommand.parseAsRoot(["send", "-", "--connections", "3", "--batch", "7", "--rate", "2.5"]) as? SendCommand)
    #expect(
      command.request
        == SendRequest(
          file: "-", url: "ws://127.0.0.1:4000/v1/stream", connections: 3, eventsPerMessage: 7, rate: 2.5))
    let table = SendCounts(sent: 10, appended: 7, duplicates: 2, rejected: 1, resumed: 1, elapsed: .milliseconds(500)).table()
    #expect(table.csv().hasSuffix("10,7,2,1,1,0.5,20\r\n"))
  }
}
