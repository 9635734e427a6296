import Events
import Expressions
import Serving
import Views

struct PageWriter: BodyPieces {
  /// Bytes of a piece, give or take a row.
  static let pieceBytes = 64 << 10

  private let rows: PartialRows
  /// Row numbers, in order.
  private let page: [Int]
  private var text: RowText
  private var head: [UInt8]
  private let tail: [UInt8]
  private var written = 0
  private var isDone = false

  /// - Parameters:
  ///   - head: The text before the rows.
  ///   - tail: The text after them.
  init(
    _ rows: PartialRows, page: [Int], query: ViewQuery, finality: Finality, format: RowFormat, head: [UInt8], tail: [UInt8]
  ) {
    self.rows = rows
    self.page = page
    self.head = head
    self.tail = tail
    text = RowText(query, finality, format)
  }

  /// The next piece; nil after the last.
  mutating func piece() -> [UInt8]? {
    guard !isDone else { return nil }
    var output = head
    head = []
    output.reserveCapacity(min(PageWriter.pieceBytes + 4096, output.count + (page.count - written) * 256 + tail.count))
    // One reference for all rows: else each row would count a reference of its own.
    let (rows, page) = (rows, page)
    while written < page.count, output.count < PageWriter.pieceBytes {
      if written > 0 { text.format.separateRows(&output) }
      text.append(page[written], of: rows, to: &output)
      written += 1
    }
    if written == page.count {
      output.append(contentsOf: tail)
      isDone = true
    }
    return output
  }

  /// A page is bounded: it never gives way.
  func attach(cut: @escaping @Sendable () -> Void) {}

  mutating func next() async -> [UInt8]? { piece() }
}

/// RFC 4180.
enum CSVText {
  static let lineEnd: [UInt8] = [0x0D, 0x0A]

  /// Appends a field, quoted where it must be. Null is empty and the empty string `""`, so the two differ.
  static func append(_ value: ResultValue, to output: inout [UInt8]) {
    if case .string(let text) = value {
      append(text, to: &output)
    } else {
      output.append(contentsOf: value.plainText.utf8)
    }
  }

  static func append(_ text: String, to output: inout [UInt8]) {
    guard text.isEmpty || text.utf8.contains(where: { $0 == 0x22 || $0 == 0x2C || $0 == 0x0D || $0 == 0x0A }) else {
      output.append(contentsOf: text.utf8)
      return
    }
    output.append(0x22)
    for byte in text.utf8 {
      if byte == 0x22 { output.append(0x22) }
      output.append(byte)
    }
    output.append(0x22)
  }
}
