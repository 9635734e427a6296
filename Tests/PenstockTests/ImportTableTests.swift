import Foundation
import Testing

/// Who may import whom. docs/architecture.md has the same in words; docs/decisions/0001-modules.md says why.
private let allowedImports: [String: Set<String>] = [
  "Events": ["CZlib"],
  "Expressions": ["Events"],
  "Aggregates": ["Events", "Expressions"],
  "Views": ["Events", "Expressions", "Aggregates", "Yams"],
  "Producers": ["Events"],
  "Log": ["Events", "Producers", "Logging", "CoreMetrics", "Dispatch"],
  "HTTPClient": ["NIOCore", "NIOPosix", "NIOHTTP1"],
  "WebSocket": ["CZlib", "NIOCore", "NIOHTTP1"],
  "Sockets": ["CEpoll"],
  "Resources": ["CResources"],
  "Ingest": [
    "Events", "Serving", "WebSocket", "Sockets", "Resources", "CZlib", "NIOCore", "NIOPosix", "NIOHTTP1", "Logging",
    "Metrics",
  ],
  "SQLite": ["CSQLite"],
  "Compute": ["Events", "Expressions", "Aggregates", "Views", "SQLite", "Logging", "Metrics", "Dispatch"],
  "Serving": ["Events", "NIOCore", "NIOPosix", "NIOHTTP1", "Dispatch", "Metrics"],
  "Query": [
    "Events", "Expressions", "Aggregates", "Views", "Serving", "Resources", "CSQLite", "CEpoll", "NIOCore", "NIOHTTP1",
    "Logging", "Metrics", "Dispatch",
  ],
  "Wire": [
    "Events", "Expressions", "Aggregates", "Views", "Serving", "HTTPClient", "Resources", "NIOCore", "NIOPosix",
    "NIOHTTP1", "Logging", "Metrics", "Dispatch",
  ],
  "Identity": ["Events", "Serving", "NIOCore", "NIOSSL", "Crypto"],
  "Mesh": ["HTTPClient", "NIOCore", "NIOPosix", "NIOTLS", "NIOHTTP1", "NIOSSL", "X509", "Logging"],
  "PenstockClient": ["Events", "WebSocket", "SQLite", "CZlib", "NIOCore", "NIOPosix", "NIOHTTP1", "Logging", "Dispatch"],
  "websocket-echo": ["WebSocket", "NIOCore", "NIOPosix", "NIOHTTP1", "ArgumentParser"],
]

/// Part of the language's own library or of the system's; every module may.
private let systemImports: Set<String> = ["Swift", "Synchronization", "Glibc", "Musl", "Darwin"]

/// Foundation costs start-up time and memory: only where something needs it.
private let foundationImporters: Set<String> = ["Compute", "Mesh", "Identity"]
private let foundationImports: Set<String> = ["Foundation", "FoundationEssentials"]

/// See all, as the executable does, or hold no Swift.
private let unrestricted: Set<String> = ["Penstock", "CZlib", "CSQLite", "CEpoll", "CResources"]

@Suite struct ImportTableTests {
  private var sources: URL { URL(filePath: repositoryRoot).appending(path: "Sources") }

  private var modules: [String] {
    get throws { try FileManager.default.contentsOfDirectory(atPath: sources.path).filter { !$0.hasPrefix(".") }.sorted() }
  }

  @Test("every module is in the table")
  func complete() throws {
    #expect(try Set(modules).subtracting(unrestricted).subtracting(allowedImports.keys) == [])
  }

  @Test("every module imports what the table names, and nothing else")
  func table() throws {
    var filesSeen = 0
    for module in try modules where !unrestricted.contains(module) {
      let named = allowedImports[module] ?? []
      var imports: Set<String> = []
      for file in try swiftFiles(of: module) {
        filesSeen += 1
        for (line, imported) in importsFound(in: try String(contentsOf: file, encoding: .utf8)) {
          imports.insert(imported)
          let isKnown = named.contains(imported) || systemImports.contains(imported) || foundationImports.contains(imported)
          if !isKnown { Issue.record("\(module) may not import \(imported): \(file.lastPathComponent):\(line)") }
        }
      }
      #expect(named.subtracting(imports) == [], "the table lets \(module) import what it does not")
      #expect(foundationImporters.contains(module) == !imports.isDisjoint(with: foundationImports), "Foundation in \(module)")
    }
    #expect(filesSeen > 5)
  }

  @Test("only the executable imports the log, and only Compute and a device's spool the database")
  func narrow() throws {
    for (module, allowed) in allowedImports {
      #expect(!allowed.contains("Log"), "\(module)")
      #expect(!allowed.contains("SQLite") || module == "Compute" || module == "PenstockClient", "\(module)")
      #expect(!(module == "Log" || module == "Events") || !allowed.contains { $0.hasPrefix("NIO") }, "\(module)")
    }
  }

  @Test("imports are found in all their spellings")
  func spellings() {
    let text = """
      import A
      @testable import B
      @preconcurrency import struct C.D
        import E  // indented, after #if
      public import F.G
      // import H
      let text = "import I"
      @_exported import class J.K; import L
      """
    #expect(importsFound(in: text).map(\.module) == ["A", "B", "C", "E", "F", "J", "L"])
    #expect(importsFound(in: text).map(\.line) == [1, 2, 3, 4, 5, 8, 8])
  }

  private func swiftFiles(of module: String) throws -> [URL] {
    let folder = sources.appending(path: module)
    let files = try #require(FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil))
    return files.compactMap { $0 as? URL }.filter { $0.pathExtension == "swift" }
  }
}

/// The module of every import, with its line, counted from 1.
private func importsFound(in text: String) -> [(line: Int, module: String)] {
  let kinds: Set<Substring> = ["struct", "class", "enum", "protocol", "func", "var", "let", "typealias", "actor"]
  var found: [(line: Int, module: String)] = []
  for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
    for statement in line.split(separator: ";") {
      var words = statement.split(whereSeparator: \.isWhitespace)[...]
      while let word = words.first,
        word.hasPrefix("@") || ["public", "internal", "package", "private", "fileprivate"].contains(word)
      {
        words = words.dropFirst()
      }
      guard words.first == "import" else { continue }
      words = words.dropFirst()
      if let word = words.first, kinds.contains(word) { words = words.dropFirst() }
      guard let path = words.first, let module = path.split(separator: ".").first else { continue }
      found.append((index + 1, String(module)))
    }
  }
  return found
}
