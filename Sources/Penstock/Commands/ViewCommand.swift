import ArgumentParser
import Views

struct ViewCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "view", abstract: "The life of views.",
    subcommands: [
      ViewListCommand.self, ViewShowCommand.self, ViewCheckCommand.self, ViewApplyCommand.self, ViewDiffCommand.self,
      ViewPromoteCommand.self, ViewRollbackCommand.self, ViewDropCommand.self, ViewRemoveCommand.self, ViewExportCommand.self,
      ViewVerifyCommand.self,
    ])
}

struct ViewListCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "list", abstract: "Print every view: its generation, window, whose event times close it, lag and columns.")

  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() async throws {
    let answer = try await service.client().get(["v1", "views"])
    guard let views = answer["views"]?.array else {
      throw CommandFailure("the answer has no views: is --url that of Penstock's query service?")
    }
    try outputOptions.write(Self.table(views), of: answer)
  }

  /// Each `{"name":…,"generation":1,"window":{"tumble":"1d"},"watermark":"source","lag":{"events":0,"seconds":0},"columns":[…]}`,
  /// a column `{"name":…,"type":…,"role":…}`.
  static func table(_ views: [RawJSON]) -> Table {
    var table = Table([
      Table.Column("name"), Table.Column("generation", isNumber: true), Table.Column("window"), Table.Column("watermark"),
      Table.Column("lag_events", isNumber: true), Table.Column("lag_seconds", isNumber: true), Table.Column("columns"),
    ])
    for view in views {
      // Every view has the window's own columns.
      let columns = (view["columns"]?.array ?? []).filter { $0["role"]?.string != "window" }.map {
        "\($0["name"]?.cell ?? "?"):\($0["type"]?.cell ?? "?")"
      }
      table.append([
        view["name"] ?? .null, view["generation"] ?? .null, .string(view["window"].map(windowText) ?? ""),
        view["watermark"] ?? .null, view["lag"]?["events"] ?? .null, view["lag"]?["seconds"] ?? .null,
        .string(columns.joined(separator: " ")),
      ])
    }
    return table
  }

  /// `{"tumble":"1d"}` as `tumble 1d`; any other shape unchanged.
  private static func windowText(_ window: RawJSON) -> String {
    guard case .object(let members) = window else { return window.cell }
    return members.map { "\($0.name) \($0.value.cell)" }.joined(separator: " ")
  }
}

struct ViewCheckCommand: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "check", abstract: "Check a file of views without running them.",
    discussion: "Prints each view it defines; what is wrong is told with its line, and the exit code is then 2.")

  @Argument(help: ArgumentHelp("The file of views (default: config/views.yaml).", valueName: "file"))
  var file = "config/views.yaml"

  @OptionGroup var outputOptions: OutputOptions

  func run() throws {
    var table = Table([Table.Column("name"), Table.Column("window"), Table.Column("watermark"), Table.Column("columns")])
    for view in try readViews(file).views {
      let columns = view.schema.columns.filter { $0.role != .window }.map { "\($0.name):\($0.type)" }
      table.append([
        .string(view.name), .string(view.window.summary), .string(view.watermark.rawValue), .string(columns.joined(separator: " ")),
      ])
    }
    try outputOptions.write(table)
  }
}
