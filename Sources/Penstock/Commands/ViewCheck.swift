import Events
import Views

/// One view of a checked file, as `penstock view check` prints it.
struct CheckedView: Hashable, Sendable {
  var name: String
  /// `tumble 1d`
  var window: String
  /// `name:type` each: keys, then aggregates.
  var columns: [String]
}

/// The views a file defines.
/// - Throws: `CommandFailure` with exit code 2 that tells of everything that is wrong, each with its line.
func checkedViews(yaml: String, file: String) throws -> [CheckedView] {
  do throws(ViewCatalogError) {
    return try ViewCatalog(yaml: yaml, file: file).views.map { view in
      CheckedView(
        name: view.name, window: windowText(view.window),
        columns: view.schema.columns.filter { $0.role != .window }.map { "\($0.name):\($0.type.rawValue)" })
    }
  } catch {
    throw CommandFailure("\(error)", exitCode: .usage)
  }
}

/// As a table shows it: `tumble 1d`.
func windowText(_ window: WindowDefinition) -> String {
  switch window {
  case .tumble(let size): "tumble \(DurationText.text(size))"
  case .hop(let size, let every): "hop \(DurationText.text(size)) every \(DurationText.text(every))"
  case .session(let gap): "session gap \(DurationText.text(gap))"
  }
}
