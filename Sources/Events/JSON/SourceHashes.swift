/// The hashes of the sources that sent last: a stable hash takes a step for each byte, and devices send again.
///
/// A table in which each source has two places, next to each other; of those that share them, the last two stay.
struct SourceHashes: ~Copyable {
  struct Hashes: BitwiseCopyable {
    /// Assigns the source to a partition.
    var stable: UInt64 = 0
    /// The source's hash in tables in memory, `tableHash` with `TableSeed.shared`.
    var table: UInt64 = 0
  }

  struct Entry: BitwiseCopyable {
    var hashes = Hashes()
    var count = 0
  }

  /// Longer sources are not kept.
  private static let sourceBytesMax = 48
  private static let sizeMax = 2048

  private var size = 32
  private var misses = 0
  private var entries = GrowableBuffer<Entry>(capacity: 32)
  private var texts = GrowableBuffer<UInt8>(capacity: 32 * SourceHashes.sourceBytesMax)
  private let seed = TableSeed.shared

  /// - Parameter source: May be read to the next multiple of eight bytes.
  @inline(__always) mutating func hashes(of source: UnsafePointer<UInt8>, _ count: Int) -> Hashes {
    let table = tableHash(source, count, seed: seed)
    var place = Int(truncatingIfNeeded: table) & (size &- 1)
    if entries.base[place].hashes.table != table { place ^= 1 }
    let entry = entries.base + place
    if entry.pointee.hashes.table == table, entry.pointee.count == count,
      equalPadded(texts.base + place &* SourceHashes.sourceBytesMax, source, count)
    {
      return entry.pointee.hashes
    }
    return add(source, count, table)
  }

  @inline(never) private mutating func add(_ source: UnsafePointer<UInt8>, _ count: Int, _ table: UInt64) -> Hashes {
    let hashes = Hashes(stable: stableHash(UnsafeRawBufferPointer(start: source, count: count)), table: table)
    guard count <= SourceHashes.sourceBytesMax else { return hashes }
    let place = Int(truncatingIfNeeded: table) & (size - 1), other = place ^ 1
    entries[other] = entries[place]
    texts.base.advanced(by: other * SourceHashes.sourceBytesMax).update(
      from: texts.base + place * SourceHashes.sourceBytesMax, count: entries[place].count)
    entries[place] = Entry(hashes: hashes, count: count)
    (texts.base + place * SourceHashes.sourceBytesMax).update(from: source, count: count)
    misses += 1
    if misses > 2 * size, size < SourceHashes.sizeMax {
      // Begun small, for readers of a few events.
      size = SourceHashes.sizeMax
      entries = GrowableBuffer(capacity: size)
      texts = GrowableBuffer(capacity: size * SourceHashes.sourceBytesMax)
    }
    return hashes
  }
}
