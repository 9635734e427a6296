import Foundation
import Testing

/// Words that no sentence may begin with: the sentence has no subject then, and has to be read twice.
private let banned = ["Of", "Those", "What", "As above"]

/// Prose is wrapped here: in comments at the formatter's width.
private let commentWidth = 130
private let pageWidth = 120

@Suite("Plain words")
struct ProseTests {
  @Test("no sentence of a comment, a page or a text for people begins with Of, Those, What or As above, and prose is wrapped")
  func plain() throws {
    let files = try ["Sources", "Tests", "Benchmarks", "docs", "clients", "README.md", "CHANGELOG.md"].flatMap(files)
    #expect(files.count > 500)
    for file in files where !file.hasSuffix("/ProseTests.swift") {
      let text = String(decoding: try Data(contentsOf: URL(filePath: repositoryRoot + "/" + file)), as: UTF8.self)
      for (line, fault) in faults(of: text, in: file) { Issue.record("\(file):\(line): \(fault)") }
    }
  }

  @Test("every page says in its first lines for whom it is, and every decision has one form and stands in the index")
  func pages() throws {
    let index = try String(contentsOfFile: repositoryRoot + "/docs/decisions/README.md", encoding: .utf8)
    for page in try files("docs") where page.hasSuffix(".md") {
      let text = try String(contentsOfFile: repositoryRoot + "/" + page, encoding: .utf8)
      let name = page.split(separator: "/").last.map(String.init) ?? ""
      guard page.hasPrefix("docs/decisions/"), name != "README.md" else {
        #expect(text.split(separator: "\n").dropFirst().first?.hasPrefix("For ") == true, "\(page)")
        continue
      }
      #expect(text.hasPrefix("# \(name.prefix(4)). "), "\(page)")
      #expect(text.contains(#/\n\nAccepted, 20\d\d-\d\d-\d\d/#), "\(page)")
      let parts = text.split(separator: "\n").filter { $0.hasPrefix("## ") }
      #expect(parts == ["## Context", "## Decision", "## Consequences", "## Left out"], "\(page)")
      #expect(index.contains("](\(name))"), "\(page) is not in the index")
    }
  }

  @Test("faults are found")
  func found() {
    let code = """
      /// Of these, the last.
      // One sentence. Those are two,
      // and this is the
      // same one.
      ///   - key: What it is called.
      let a = 1  // As above, so below.
      /// Whatever it is, of those that are. `Of` is a word.
      let help = "What it does."
      """
    #expect(faults(of: code, in: "a.swift").map(\.line) == [1, 2, 5, 6, 8])
    #expect(faults(of: "/// " + String(repeating: "ab ", count: 43), in: "a.swift").map(\.line) == [1])
    let page = """
      - **Bold.** Of those.
      | a | What |
      ```
      Of code
      ```
      # What
      A sentence that ends
      here. As above.
      """
    #expect(faults(of: page, in: "a.md").map(\.line) == [1, 2, 6, 8])
    #expect(faults(of: String(repeating: "ab ", count: 41), in: "a.md").map(\.line) == [1])
    #expect(faults(of: "Each ``` u8 0", in: "a.md").map(\.line) == [1])
    #expect(faults(of: "| " + String(repeating: "ab ", count: 41), in: "a.md").isEmpty)
  }

  /// The files of a folder, or the file itself.
  private func files(_ path: String) throws -> [String] {
    guard !path.hasSuffix(".md") else { return [path] }
    let names = try #require(FileManager.default.enumerator(atPath: repositoryRoot + "/" + path)?.allObjects as? [String])
    return names.map { "\(path)/\($0)" }.filter { file in
      [".swift", ".h", ".c", ".md", ".py", ".json"].contains(where: file.hasSuffix)
    }
  }
}

/// Every fault of a file, with its line, counted from 1.
private func faults(of text: String, in file: String) -> [(line: Int, fault: String)] {
  var found: [(line: Int, fault: String)] = []
  let isPage = file.hasSuffix(".md")
  var isFenced = false
  // Whether the line before ends in the middle of a sentence.
  var isOpen = false
  for (index, line) in text.split(separator: "\n", omittingEmptySubsequences: false).enumerated() {
    if isPage, line.trimmed.hasPrefix("```") { isFenced.toggle() }
    guard let prose = isFenced ? nil : isPage ? line : comment(in: line, of: file) else {
      isOpen = false
      if !isPage, banned.contains(where: { line.contains("\"\($0) ") }) { found.append((index + 1, "a text begins badly")) }
      continue
    }
    if isPage, !line.trimmed.hasPrefix("```"), line.contains("```") { found.append((index + 1, "a fence within a line")) }
    let isTable = prose.hasPrefix("|")
    let width = isPage ? pageWidth : commentWidth
    if line.utf8.count > width, line.count > width, !isTable, !file.hasSuffix(".py"), prose.trimmed.contains(" ") {
      found.append((index + 1, "wider than \(width)"))
    }
    for part in isTable ? prose.split(separator: "|") : [prose] {
      if hasBadBeginning(part, &isOpen) { found.append((index + 1, "a sentence begins with one of \(banned)")) }
      if isTable { isOpen = false }
    }
  }
  return found
}

/// The text of a line's comment, which in Python may be a documentation string; nil where there is none.
private func comment(in line: Substring, of file: String) -> Substring? {
  let text = line.trimmed
  guard !file.hasSuffix(".json") else { return nil }
  guard !file.hasSuffix(".py") else {
    return text.hasPrefix("#") || text.hasPrefix("\"\"\"") ? text.drop { "#\"".contains($0) } : nil
  }
  if text.hasPrefix("//") { return text.drop { $0 == "/" } }
  return text.range(of: "  // ").map { text[$0.upperBound...] }
}

/// Whether a sentence of the line begins with a banned word.
/// - Parameter isOpen: Whether the line continues a sentence, and then whether the next line does.
private func hasBadBeginning(_ line: Substring, _ isOpen: inout Bool) -> Bool {
  let marks = "`*_()\""
  var isStart = !isOpen
  isOpen = false
  var found = false
  for (index, word) in line.split(separator: " ").enumerated() {
    let isMark = index == 0 && (word == "-" || word == "*" || word == ">" || word.hasPrefix("#"))
    if isStart || isMark {
      let rest = line[word.startIndex...].drop { "*_(\"".contains($0) }
      found = found || banned.contains { rest.hasPrefix($0) && !(rest.dropFirst($0.count).first?.isLetter ?? false) }
    }
    let last = word.last { !marks.contains($0) }
    // A text follows the colon of `- Returns:`, `- name:` and `- Parameter name:`.
    isStart = isMark || last == "." || last == "!" || last == "?" || (last == ":" && index < 3 && line.trimmed.first == "-")
    isOpen = !isStart
  }
  return found
}

extension Substring {
  fileprivate var trimmed: Substring { drop { $0 == " " } }
}
