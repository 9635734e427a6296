/// A page of a partition's sources, in the order of their names' bytes.
struct SourceRange: Sendable, Hashable {
  /// Only names behind this one; nil from the beginning.
  var after: [UInt8]?
  /// Only names that begin so.
  var prefix: [UInt8] = []
  /// The most sources of the page.
  var limit: Int

  /// The smallest text that is behind all names with the prefix; nil when there is none.
  var end: [UInt8]? {
    guard let last = prefix.lastIndex(where: { $0 < 0xFF }) else { return nil }
    var end = Array(prefix[...last])
    end[last] += 1
    return end
  }
}
