import Foundation
import Resources
import Testing

@Suite("The files within the executable")
struct EmbeddedFileTests {
  @Test("each is byte for byte the one in Sources", arguments: EmbeddedFile.allCases)
  func same(_ file: EmbeddedFile) throws {
    let sources = URL(filePath: repositoryRoot).appending(path: "Sources")
    let paths = try #require(FileManager.default.enumerator(at: sources, includingPropertiesForKeys: nil))
      .compactMap { $0 as? URL }.filter { $0.lastPathComponent == file.rawValue }
    #expect(paths.count == 1)
    #expect(try Data(contentsOf: try #require(paths.first)) == Data(file.bytes))
  }
}
