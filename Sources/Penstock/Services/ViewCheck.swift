/// One view of a checked file, as `penstock view check` prints it.
struct CheckedView: Hashable, Sendable {
  var name: String
  var window: String
  /// `name:type` each, keys first.
  var columns: [String]
}

/// The seam to `ViewCatalog(yaml:file:)`, wired once the Views module has it.
/// - Throws: `CommandFailure` with exit code 2 that says what is wrong, and in which line.
func checkedViews(yaml: String, file: String) throws -> [CheckedView] {
  throw CommandFailure("`penstock view check` is not wired yet")
}
