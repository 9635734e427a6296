import Foundation
import Views

/// Reads a file of views.
/// - Throws: `CommandFailure` with exit code 2 that names the fault and its line.
func readViews(_ file: String) throws -> ViewCatalog {
  switch readText(file, bytesMax: ViewCatalog.fileBytesMax) {
  case .success(let text): return try readViews(yaml: text, file: file)
  case .failure(let failure):
    throw CommandFailure("\(file): \(failure); name the file of views with --views", exitCode: .usage)
  }
}

func readViews(yaml: String, file: String) throws -> ViewCatalog {
  do throws(ViewCatalogError) {
    return try ViewCatalog(yaml: yaml, file: file)
  } catch {
    throw CommandFailure(error.description, exitCode: .usage)
  }
}

extension WindowDefinition {
  /// The window on one line, as in a view file: `tumble 1d`.
  var summary: String {
    switch self {
    case .tumble(let size): "tumble \(DurationText.text(size))"
    case .hop(let size, let every): "hop \(DurationText.text(size)) every \(DurationText.text(every))"
    case .session(let gap): "session gap \(DurationText.text(gap))"
    }
  }
}
