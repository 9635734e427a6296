/// The bound of the memory that several folds' rows and their sources take together: beyond it, those that changed longest ago
/// are left to the file.
struct MemoryBound {
  /// A fold smaller than this part of its share is left alone: letting go of its rows gains nothing.
  private static let smallPart = 16

  let bytesMax: Int

  static func bytes(of boxes: some Sequence<FoldBox>, _ clocks: some Sequence<SourceBox>) -> Int {
    clocks.reduce(boxes.reduce(0) { $0 + $1.fold.memoryBytes }) { $0 + $1.clocks.byteCount }
  }

  func isExceeded(by boxes: some Sequence<FoldBox>, _ clocks: some Sequence<SourceBox>) -> Bool {
    MemoryBound.bytes(of: boxes, clocks) > bytesMax
  }

  /// Leaves a third of the bound in memory when it is exceeded: tables double when they grow. Rows that are not stored stay.
  func enforce(on boxes: some Collection<FoldBox>, _ clocks: some Collection<SourceBox>) {
    let total = MemoryBound.bytes(of: boxes, clocks)
    guard total > bytesMax else { return }
    let kept = Double(bytesMax) / 3 / Double(total)
    for box in boxes where box.fold.unsavedCount == 0 {
      let bytes = box.fold.memoryBytes
      guard bytes > smallest(of: boxes.count + clocks.count) else { continue }
      let rows = box.fold.rowCount
      box.fold.rows.shrink(toBytes: Int(Double(bytes) * kept))
      assert(box.fold.unsavedCount == 0 && box.fold.rows.count <= rows, "letting go adds no row, and changes none")
    }
    for box in clocks where box.clocks.unsavedCount == 0 && box.clocks.byteCount > smallest(of: boxes.count + clocks.count) {
      box.clocks.shrink(toBytes: Int(Double(box.clocks.byteCount) * kept))
    }
  }

  private func smallest(of count: Int) -> Int { bytesMax / count / MemoryBound.smallPart }

  /// The checkpoint up to which changed rows go, so that about `bytes` of `all` are left.
  /// - Precondition: `bytes` is below `all`.
  static func changeLimit(_ changedAt: [UInt32], keeping bytes: Int, of all: Int) -> UInt32 {
    precondition(bytes < all && !changedAt.isEmpty, "there is something to let go of")
    let keptMax = Int(Double(changedAt.count) * Double(bytes) / Double(all))
    return keptMax > 0 ? changedAt.sorted(by: >)[keptMax] : .max
  }
}
