import Foundation

@testable import Penstock

/// The folder that holds Package.swift.
let repositoryRoot = URL(filePath: #filePath).deletingLastPathComponent().deletingLastPathComponent()
  .deletingLastPathComponent().path

/// A file of that text, for as long as `body` runs.
func withFile<Result>(_ text: String, _ body: (String) throws -> Result) throws -> Result {
  let path = FileManager.default.temporaryDirectory.appending(path: "penstock-\(UUID().uuidString)").path
  try Data(text.utf8).write(to: URL(filePath: path))
  defer {
    do { try FileManager.default.removeItem(atPath: path) } catch { print("left behind: \(path): \(error)") }
  }
  return try body(path)
}

func json(_ text: String) throws -> RawJSON { try RawJSON(parsing: Array(text.utf8)) }
