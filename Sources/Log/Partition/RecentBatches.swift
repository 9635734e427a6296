import Events

/// The latest batches of a partition, in order and without a gap, so that readers at the tail neither read nor check them again.
struct RecentBatches {
  static let batchesMax = 64

  let bytesMax: Int
  private var batches: [ColumnBatch] = []
  private var bytes = 0

  init(bytesMax: Int) { self.bytesMax = bytesMax }

  /// Takes the next batch; the oldest give way.
  mutating func append(_ batch: ColumnBatch) {
    guard bytesMax > 0 else { return }
    batches.append(batch)
    bytes += batch.encoded.count
    var surplus = 0
    while surplus < batches.count, bytes > bytesMax || batches.count - surplus > RecentBatches.batchesMax {
      bytes -= batches[surplus].encoded.count
      surplus += 1
    }
    batches.removeFirst(surplus)
  }

  /// The batches from the one that holds `start` on, as many as fit into `bytesMax`, at least one; nil when it is not here.
  func batches(from start: Offset, bytesMax: Int) -> [ColumnBatch]? {
    guard let first = batches.first, first.baseOffset <= start, let begin = batches.lastIndex(where: { $0.baseOffset <= start }),
      start < batches[begin].endOffset
    else { return nil }
    var end = begin
    var bytes = 0
    repeat {
      bytes += batches[end].encoded.count
      end += 1
    } while end < batches.count && bytes + batches[end].encoded.count <= bytesMax
    return Array(batches[begin..<end])
  }
}
