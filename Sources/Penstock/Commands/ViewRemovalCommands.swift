import ArgumentParser
import Foundation
import Views

struct ViewRemoveCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "remove", abstract: "End a view, with all its generations.",
    discussion: """
      Its rows are kept for --purge-after: until then `penstock view apply` brings it back as it was. A view that is in the server's file of \
      views stays removed over restarts, until its definition there changes.
      """)

  @Argument(help: ArgumentHelp("The view's name.", valueName: "view")) var view: String
  @Option(help: ArgumentHelp("How long it can be brought back (default: 7d); 0s for not at all.", valueName: "duration"))
  var purgeAfter: String?
  @OptionGroup var service: ServiceOptions
  @OptionGroup var outputOptions: OutputOptions

  func run() async throws {
    let answer = try await service.client().send(
      "DELETE", ["v1", "views", view], query: purgeAfter.map { [("purge_after", $0)] } ?? [])
    var table = Table([Table.Column("view"), Table.Column("generations"), Table.Column("removed_at"), Table.Column("purge_at")])
    let generations = (answer["generations"]?.array ?? []).map(\.text).joined(separator: " ")
    table.append([answer["view"] ?? .null, .string(generations), answer["removed_at"] ?? .null, answer["purge_at"] ?? .null])
    try outputOptions.write(table, of: answer)
    guard answer["configured"] == .bool(true) else { return }
    StandardStream.error.note(
      """
      \(view) is in the server's file of views: it stays removed at the next start all the same, and comes back when its definition there \
      changes, or with `penstock view apply`. Take it out of the file to be rid of it for good
      """)
  }
}

struct ViewExportCommand: AsyncParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "export", abstract: "Print the views there are as a file of views, which `penstock view apply` takes.",
    discussion: "Each view as its live generation has it. Example: penstock view export > views.yaml")

  enum Format: String, CaseIterable, ExpressibleByArgument {
    case yaml
    case json
  }

  @Option(name: .shortAndLong, help: "How to print: yaml or json; `penstock view apply` takes both.")
  var output = Format.yaml
  @OptionGroup var service: ServiceOptions

  func run() async throws {
    let client = try service.client()
    let answer = try await client.answer(to: client.question(["v1", "views"], [("format", "yaml")]))
    guard answer.status == 200 else { throw client.problem(answer) }
    let yaml = String(decoding: answer.body.readableBytesView, as: UTF8.self)
    let catalog: ViewCatalog
    do throws(ViewCatalogError) {
      catalog = try ViewCatalog(yaml: yaml, file: client.baseURL, bytesMax: ViewCatalog.writtenBytesMax)
    } catch {
      throw CommandFailure("the answer is no file of views: is --url that of Penstock's query service? (\(error))")
    }
    try StandardStream.output.write(output == .yaml ? yaml : catalog.json + "\n")
  }
}
