import Events
import Expressions
import Logging
import Serving
import Views

struct ExportWriter: BodyPieces {
  /// The reason why an answer is cut.
  struct TooSlow: Error, CustomStringConvertible {
    let timeMax: Duration
    var description: String { "it was not taken within query.export_time_max, \(timeMax)" }
  }

  private let query: ViewQuery
  private let timeMax: Duration
  private let deadline: ContinuousClock.Instant
  private let logger: Logger
  private var text: RowText
  private var output: [UInt8]
  /// Nil once all have been read: the moment and the permit end with it.
  private var source: (pieces: any RowPieces, slot: ExportSlot)?
  private var rows: PartialRows
  private var row = 0
  private var scratch = EvaluationScratch()

  /// - Parameters:
  ///   - timeMax: The time limit, from now on; a reader that takes longer is cut off.
  ///   - slot: The permit, held until the last row has been read.
  ///   - logger: Logs why an answer was cut.
  init(
    _ stream: RowStream, _ query: ViewQuery, _ finality: Finality, _ format: RowFormat, timeMax: Duration, slot: ExportSlot,
    logger: Logger
  ) {
    self.query = query
    self.timeMax = timeMax
    self.logger = logger
    deadline = .now + timeMax
    text = RowText(query, finality, format)
    output = format.head(of: query.columns.map(\.name))
    source = (stream.pieces, slot)
    rows = PartialRows(stride: query.definition.layout.stride)
  }

  /// Whether there is nothing more to read.
  var isDone: Bool { source == nil && row == rows.count }

  /// The next piece, even if it is empty; nil after the last.
  mutating func piece() async throws -> [UInt8]? {
    guard !isDone || !output.isEmpty else { return nil }
    output.reserveCapacity(PageWriter.pieceBytes + 4096)
    while output.count < PageWriter.pieceBytes {
      if row < rows.count {
        appendRows()
        continue
      }
      guard source != nil else { break }
      guard ContinuousClock.now < deadline else { throw TooSlow(timeMax: timeMax) }
      try Task.checkCancellation()
      guard var read = try await source?.pieces.next() else {
        source = nil
        continue
      }
      if let filter = query.filter {
        read = read.filtered(by: filter, keys: query.definition.keys.map(\.name), using: &scratch)
      }
      (rows, row) = (read, 0)
    }
    defer { output = [] }
    return output
  }

  /// Appends as many rows as the piece has room for.
  private mutating func appendRows() {
    // One reference for all rows, as in `PageWriter`.
    let rows = rows
    while row < rows.count, output.count < PageWriter.pieceBytes {
      text.append(row, of: rows, to: &output)
      row += 1
    }
  }

  /// The answer is bounded by its time and its permit: it never gives way.
  func attach(cut: @escaping @Sendable () -> Void) {}

  mutating func next() async throws -> [UInt8]? {
    do {
      let piece = try await piece()
      return piece.map { $0.isEmpty } ?? true ? nil : piece
    } catch {
      source = nil
      if !(error is CancellationError) {
        logger.warning("an answer of all rows of view \(query.definition.name) was cut: \(error)")
      }
      throw error
    }
  }
}
