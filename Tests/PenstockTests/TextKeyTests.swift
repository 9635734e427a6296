import Foundation
import Testing

/// Files that may have `String` as the key of a dictionary or the element of a set, and whose texts those are: names of the
/// project's own, or names held to ASCII. Text that users send is `UTF8Text` there, which says why.
private let allowedFiles: [String: String] = [
  "Compute/Generations/GenerationTable.swift": "views' names, held to ASCII",
  "Compute/Worker/ComputeWorker.swift": "views' names, held to ASCII",
  "Events/Values/Event.swift": "attributes' names, held to ASCII",
  "HTTPClient/ServiceURL.swift": "schemes of URLs",
  "Identity/Tokens/StaticTokens.swift": "the project's own names of members",
  "Ingest/Connection/StreamAdmission.swift": "headers' names",
  "Ingest/HTTP/PostedEvents.swift": "headers' names",
  "Mesh/": "Consul's names of services, instances and their metadata",
  "Penstock/": "settings, environment variables, metrics and paths of files",
  "Query/Console/ConsoleFile.swift": "the console's files",
  "Query/HTTP/QueryFailure.swift": "headers' names",
  "Query/Rows/KeptResults.swift": "hashes in hexadecimal",
  "Query/SQL/SQLFunctions.swift": "the project's own statements",
  "Query/SQL/SQLGuardian.swift": "views' and functions' names, held to ASCII",
  "SQLite/SQLiteConnection.swift": "the project's own statements",
  "Expressions/Syntax/ExpressionParser.swift": "words of the language",
  "Serving/HTTPProblem.swift": "headers' names",
  "Views/Definition/ViewReader.swift": "columns' names, held to ASCII",
  "Views/Schema/Expression+PointKey.swift": "columns' names, held to ASCII",
  "Views/Store/KeyColumns.swift": "columns' names, held to ASCII",
  "Wire/HTTP/PeerPool.swift": "peers' ids",
  "Wire/HTTP/WireMessages.swift": "headers' names",
  "Wire/Reports/ReportedIngests.swift": "instances' ids",
  "Wire/Reports/ReportedRejects.swift": "instances' ids",
  "Wire/Peers/": "peers' ids and metadata",
  "Wire/Views/RemoteViewStore.swift": "views' names, held to ASCII",
  "Wire/Views/ComputePeers.swift": "views' names, held to ASCII",
]

@Suite("Texts as keys")
struct TextKeyTests {
  @Test("no dictionary and no set has String for what users send")
  func keys() throws {
    let folder = URL(filePath: repositoryRoot).appending(path: "Sources")
    let files = try #require(FileManager.default.enumerator(at: folder, includingPropertiesForKeys: nil))
    let pattern = try Regex(#"\[(String|Substring) ?:|Set<(String|Substring)>|Dictionary<(String|Substring),"#)
    var used: Set<String> = []
    for case let file as URL in files where file.pathExtension == "swift" {
      let path = String(file.path.dropFirst(folder.path.count + 1))
      let text = try String(contentsOf: file, encoding: .utf8)
      for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
        guard try pattern.firstMatch(in: line) != nil else { continue }
        let entry = allowedFiles.keys.first { $0.hasSuffix("/") ? path.hasPrefix($0) : path == $0 }
        if let entry {
          used.insert(entry)
        } else {
          Issue.record(
            "\(path):\(index + 1): texts that users send are UTF8Text as keys; names that are not, go into the table here")
        }
      }
    }
    #expect(Set(allowedFiles.keys).subtracting(used) == [], "entries that nothing needs")
  }
}
