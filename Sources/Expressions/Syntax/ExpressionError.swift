/// The fault of an expression's text, and its position.
public struct ExpressionError: Error, Sendable, Hashable, CustomStringConvertible {
  /// One sentence without a full stop: the found and the expected text.
  public let message: String
  public let text: String
  /// Byte of the text's UTF-8 at which the problem begins: 0 ... `text.utf8.count`.
  public let position: Int

  public init(_ message: String, in text: String, at position: Int) {
    self.message = message
    self.text = text
    self.position = min(max(position, 0), text.utf8.count)
  }

  /// Line, from 1.
  public var line: Int { prefix.utf8.count { $0 == 0x0A } + 1 }
  /// Character in the line, from 1.
  public var column: Int { lastLineOfPrefix.count + 1 }

  /// The message, the line it is about and a caret under the place:
  /// ```
  /// expected '==' to compare, found '='
  ///   type = "weather.observed"
  ///        ^
  /// ```
  public var description: String {
    let lines = text.split(separator: "\n", omittingEmptySubsequences: false)
    // A tab stays a tab, so that the caret stands under its character whatever the tab's width.
    let indent = String(lastLineOfPrefix.map { $0 == "\t" ? "\t" : " " })
    return "\(message)\n  \(lines[min(line, lines.count) - 1])\n  \(indent)^"
  }

  private var prefix: Substring {
    let utf8 = text.utf8
    let index = utf8.index(utf8.startIndex, offsetBy: position)
    return text[..<(index.samePosition(in: text.unicodeScalars) ?? text.startIndex)]
  }

  private var lastLineOfPrefix: Substring {
    prefix.lastIndex(of: "\n").map { prefix[prefix.index(after: $0)...] } ?? prefix
  }
}
