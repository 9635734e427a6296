import Events
import Views

/// The streams of rows that an instance's callers have open: all pieces of a stream are of its first moment.
actor ComputeStreams {
  /// The most streams open at a time.
  static let streamsMax = 64
  /// A stream that is not read for this long is closed, and its moment released: its caller has died. Others close theirs.
  static let idleMax = Duration.seconds(600)

  private struct Open {
    /// Without rows.
    let head: PartialResult
    /// Nil while the next piece is read.
    var pieces: (any RowPieces)?
    var given = 0
    /// The last piece, to be given again if its answer was lost; nil when it was the end.
    var last: PartialResult?
    var usedAt = ContinuousClock.now
  }

  private let idleMax: Duration
  private var open: [UInt64: Open] = [:]

  init(idleMax: Duration = ComputeStreams.idleMax) { self.idleMax = idleMax }

  var count: Int { open.count }

  /// - Returns: The stream's number, which nobody can guess.
  func add(_ stream: RowStream) throws(ViewStoreError) -> UInt64 {
    guard open.count < ComputeStreams.streamsMax else {
      throw .unavailable("\(open.count) streams of rows are open; try again later")
    }
    let id = UInt64.random(in: 1 ... .max)
    open[id] = Open(head: stream.head, pieces: stream.pieces)
    Task { [weak self] in await self?.expire(id) }
    return id
  }

  /// - Parameter piece: Its number, from 0: the next one, or the previous one once more.
  /// - Returns: The stream's head with the piece's rows; nil after the last piece.
  func next(_ id: UInt64, piece: Int) async throws(ViewStoreError) -> PartialResult? {
    guard var one = open[id] else { throw ComputeStreams.gone }
    open[id]?.usedAt = .now
    if piece >= 0, piece == one.given - 1 { return one.last }
    guard piece == one.given, var pieces = one.pieces else { throw ComputeStreams.gone }
    open[id]?.pieces = nil
    open[id]?.last = nil
    let rows: PartialRows?
    do throws(ViewStoreError) {
      rows = try await pieces.next()
    } catch {
      open[id] = nil
      throw error
    }
    one.pieces = pieces
    one.given += 1
    one.last = rows == nil ? nil : one.head
    if let rows { one.last?.rows = rows }
    one.usedAt = .now
    // It may have been closed meanwhile.
    if open[id] != nil { open[id] = one }
    return one.last
  }

  func close(_ id: UInt64) { open[id] = nil }

  private static var gone: ViewStoreError { .unavailable("the stream of rows is no longer open here: ask anew") }

  private func expire(_ id: UInt64) async {
    while let one = open[id] {
      let left = idleMax - (ContinuousClock.now - one.usedAt)
      if left <= .zero, one.pieces != nil {
        open[id] = nil
        return
      }
      do { try await Task.sleep(for: max(left, .milliseconds(100))) } catch { return }
    }
  }
}
