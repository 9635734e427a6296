import Foundation
import Views

/// Reads a file of views.
/// - Throws: `CommandFailure` with exit code 2 that says what is wrong, and in which line.
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
