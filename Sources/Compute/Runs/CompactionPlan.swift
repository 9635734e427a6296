/// Which neighbouring runs of an owner are merged next.
///
/// Runs of about one size are merged, so their sizes grow in steps: a row is written once a step, and an owner has few runs of
/// each size.
enum CompactionPlan {
  /// The fewest runs of about one size that are merged.
  static let fanIn = 6
  /// The most runs that one merge takes.
  static let fanInMax = 24
  /// Beyond so many, runs are merged whatever their sizes.
  static let runsMax = 16
  /// Runs smaller than this count as this large, in bytes.
  private static let smallBytes = 16 << 10

  /// - Parameter bytes: The sizes of an owner's runs, the newest first.
  /// - Returns: The runs to merge, next to each other; nil when none need be.
  static func choose(_ bytes: [Int]) -> Range<Int>? {
    let sizes = bytes.map { max($0, smallBytes) }
    for start in sizes.indices {
      var sum = sizes[start]
      var end = start + 1
      while end < sizes.count, end - start < fanInMax, sizes[end] <= sum {
        sum += sizes[end]
        end += 1
      }
      if end - start >= fanIn { return start..<end }
    }
    return sizes.count > runsMax ? 0..<fanIn : nil
  }
}
