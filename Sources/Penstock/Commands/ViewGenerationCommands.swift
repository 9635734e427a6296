import ArgumentParser
import Foundation

/// Prints generations as `GET …/generations` has them.
enum GenerationTable {
  static func print(_ generations: [RawJSON], _ options: OutputOptions) throws {
    var table = Table([
      Table.Column("view"), Table.Column("generation", isNumber: true), Table.Column("state"), Table.Column("watermark"),
      Table.Column("events_done", isNumber: true), Table.Column("events_total", isNumber: true),
      Table.Column("events_per_second", isNumber: true), Table.Column("seconds_left", isNumber: true), Table.Column("created_at"),
      Table.Column("problem"),
    ])
    for one in generations {
      table.append([
        one["view"] ?? .null, one["generation"] ?? .null, one["state"] ?? .null, one["definition"]?["watermark"] ?? .null,
        one["events_done"] ?? .null, one["events_total"] ?? .null, one["events_per_second"] ?? .null, one["seconds_left"] ?? .null,
        one["created_at"] ?? .null, one["problem"] ?? .null,
      ])
    }
    try options.write(table, of: .array(generations))
  }
}

struct ViewShowCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "show", abstract: "Print a view's generations: state, progress, rate, time left.")

  @Argument(help: ArgumentHelp("The view's name.", valueName: "view")) var view: String
  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() async throws {
    let answer = try await service.client().get(["v1", "views", view, "generations"])
    try GenerationTable.print(answer["generations"]?.array ?? [], outputOptions)
  }
}

struct ViewApplyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "apply",
    abstract: "Make views be what a file says: a changed definition builds a new generation beside the live one.",
    discussion: "The new generation takes over by itself when it has caught up; with --hold it waits for `penstock view promote`."
  )

  @Argument(help: ArgumentHelp("The file of views (default: config/views.yaml).", valueName: "file"))
  var file = "config/views.yaml"
  @Flag(help: "New generations wait to be promoted.") var hold = false
  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() async throws {
    // Faults of the file are reported here, with their lines, before the service is asked.
    let catalog = try readViews(file)
    let answer = try await service.client().send(
      "POST", ["v1", "views", "apply"], query: hold ? [("hold", "true")] : [], body: catalog.yaml,
      contentType: "application/yaml")
    var table = Table([Table.Column("view"), Table.Column("generation", isNumber: true), Table.Column("action")])
    for one in answer["views"]?.array ?? [] {
      table.append([one["view"] ?? .null, one["generation"] ?? .null, one["action"] ?? .null])
    }
    try outputOptions.write(table, of: answer)
  }
}

struct ViewDiffCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "diff", abstract: "Compare two generations as of the same offsets: rows added, gone and changed.",
    discussion: "Ends with exit code 3 when they differ.")

  @Argument(help: ArgumentHelp("The view's name.", valueName: "view")) var view: String
  @Option(help: ArgumentHelp("Default: the live one.", valueName: "n")) var fromGeneration: Int?
  @Option(help: ArgumentHelp("Default: the newest other one.", valueName: "n")) var toGeneration: Int?
  @Option(help: ArgumentHelp("The most rows to print.", valueName: "n")) var limit = 1000
  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() async throws {
    var query: [(name: String, value: String)] = [("limit", "\(limit)"), ("timeout", "60s")]
    if let fromGeneration { query.append(("from_generation", "\(fromGeneration)")) }
    if let toGeneration { query.append(("to_generation", "\(toGeneration)")) }
    let answer = try await service.client().send("GET", ["v1", "views", view, "diff"], query: query, timeout: .seconds(120))
    try outputOptions.write(Self.table(answer), of: answer)
    let summary =
      "\(view), generation \(answer["from_generation"]?.text ?? "?") to \(answer["to_generation"]?.text ?? "?"), as of "
      + "\(answer["as_of"]?.text ?? "?"): \(answer["added"]?.text ?? "?") added, \(answer["gone"]?.text ?? "?") gone, "
      + "\(answer["changed"]?.text ?? "?") changed, \(answer["unchanged"]?.text ?? "?") the same"
    guard answer["same"] == .bool(true) else { throw CommandFailure(summary, exitCode: .difference) }
    StandardStream.error.note(summary)
  }

  /// A changed value as `before → after`, in CSV too, so that it is clear at once which columns changed.
  static func table(_ answer: RawJSON) -> Table {
    let rows = answer["rows"]?.array ?? []
    let names = (answer["columns"]?.array ?? []).compactMap { $0["name"]?.string }
    var table = Table(
      [Table.Column("change"), Table.Column("window_start"), Table.Column("window_end")] + names.map { Table.Column($0) })
    for row in rows {
      var cells = [row["change"] ?? .null, row["window_start"] ?? .null, row["window_end"] ?? .null]
      for name in names {
        // A key stands in the row itself, an aggregate in one or both of its sides.
        let (before, after) = (row["from"]?[name], row["to"]?[name])
        switch (before, after) {
        case (nil, nil): cells.append(row[name] ?? .null)
        case let (before?, after?) where before != after: cells.append(.string("\(before.text) → \(after.text)"))
        case let (before, after): cells.append(after ?? before ?? .null)
        }
      }
      table.append(cells)
    }
    return table
  }
}

struct ViewPromoteCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "promote", abstract: "Make a generation that has caught up the live one.",
    discussion:
      "The present one stays for `penstock view rollback`. With a gate that is not met nothing changes, and the exit code is 3.")

  @Argument(help: ArgumentHelp("The view's name.", valueName: "view")) var view: String
  @Option(help: ArgumentHelp("Default: the newest that waits or builds.", valueName: "n")) var generation: Int?
  @Flag(help: "Only if no row differs from the live generation's.") var ifSame = false
  @Option(help: ArgumentHelp("Only if at most so many rows differ.", valueName: "n")) var maxChanged: Int?
  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() async throws {
    let client = try service.client()
    let answer: RawJSON
    do {
      answer = try await client.send(
        "POST", ["v1", "views", view, "promote"],
        body: RawJSON.body([
          ("generation", generation.map { .number("\($0)") }), ("if_same", ifSame ? .bool(true) : nil),
          ("max_changed", maxChanged.map { .number("\($0)") }),
        ]), timeout: .seconds(120))
    } catch let failure as CommandFailure where failure.message.hasSuffix("(generations_differ)") {
      throw CommandFailure(failure.message, exitCode: .difference)
    }
    try GenerationTable.print([answer], outputOptions)
  }
}

struct ViewRollbackCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "rollback", abstract: "Make the previous generation live again, at once.")

  @Argument(help: ArgumentHelp("The view's name.", valueName: "view")) var view: String
  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() async throws {
    let answer = try await service.client().send("POST", ["v1", "views", view, "rollback"])
    try GenerationTable.print([answer], outputOptions)
  }
}

struct ViewDropCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "drop", abstract: "End a generation that is not live, with all it holds; a replay that runs is cancelled.")

  @Argument(help: ArgumentHelp("The view's name.", valueName: "view")) var view: String
  @Option(help: ArgumentHelp("Which; `penstock view show` lists them.", valueName: "n")) var generation: Int
  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() async throws {
    let answer = try await service.client().send("DELETE", ["v1", "views", view, "generations", "\(generation)"])
    try GenerationTable.print([answer], outputOptions)
  }
}

struct ViewVerifyCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "verify", abstract: "Compute a generation once more from the log, in scratch space, and compare.",
    discussion: "Ends with exit code 3 when the kept state is not what the log says, and names the first row that differs.")

  @Argument(help: ArgumentHelp("The view's name.", valueName: "view")) var view: String
  @Option(help: ArgumentHelp("Default: the live one.", valueName: "n")) var generation: Int?
  @Option(help: ArgumentHelp("How long it may take, at most 10m.", valueName: "duration")) var timeout = "5m"
  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() async throws {
    let answer = try await service.client().send(
      "POST", ["v1", "views", view, "verify"],
      body: RawJSON.body([("generation", generation.map { .number("\($0)") }), ("timeout", .string(timeout))]),
      timeout: .seconds(660))
    var table = Table([
      Table.Column("partition", isNumber: true), Table.Column("offset", isNumber: true), Table.Column("rows", isNumber: true),
      Table.Column("kept"), Table.Column("replayed"), Table.Column("same"),
    ])
    for one in answer["partitions"]?.array ?? [] {
      table.append(["partition", "offset", "rows", "kept", "replayed", "same"].map { one[$0] ?? .null })
    }
    try outputOptions.write(table, of: answer)
    guard answer["same"] == .bool(true) else {
      throw CommandFailure(
        "the kept state of \(view) is not what the log says; the first row that differs: "
          + "\(answer["first_difference"]?.text ?? "?")", exitCode: .difference)
    }
    StandardStream.error.note(
      "\(view), generation \(answer["generation"]?.text ?? "?"): the same as of \(answer["as_of"]?.text ?? "?")")
  }
}
