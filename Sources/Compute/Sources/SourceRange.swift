/// A page of a partition's sources, in the order of their names' bytes.
struct SourceRange: Sendable, Hashable {
  /// Only names behind this one; nil from the beginning.
  var after: [UInt8]?
  /// Only names that begin so.
  var prefix: [UInt8] = []
  /// The most sources of the page.
  var limit: Int

  func contains(_ name: UnsafeRawBufferPointer) -> Bool {
    name.starts(with: prefix) && (after.map { after in after.withUnsafeBytes { isName($0, before: name) } } ?? true)
  }

  /// The smallest text that is behind all names with the prefix; nil when there is none.
  var end: [UInt8]? {
    guard let last = prefix.lastIndex(where: { $0 < 0xFF }) else { return nil }
    var end = Array(prefix[...last])
    end[last] += 1
    return end
  }

  /// The page of what memory and the file have together.
  /// - Parameters:
  ///   - unsaved: `SourceClocks.unsaved(in:)` for this range.
  ///   - stored: `StoredSources.page` for this range, read afterwards: what is stored in between is in both.
  func page(unsaved: [NamedSource], stored: [NamedSource]) -> [NamedSource] {
    var page: [NamedSource] = []
    var (own, other) = (unsaved[...], stored[...])
    while page.count < limit, let next = SourceRange.takeNext(&own, &other) { page.append(next) }
    return page
  }

  private static func takeNext(_ own: inout ArraySlice<NamedSource>, _ other: inout ArraySlice<NamedSource>) -> NamedSource? {
    guard let a = own.first, let b = other.first else { return own.popFirst() ?? other.popFirst() }
    if a.name == b.name {
      own.removeFirst()
      other.removeFirst()
      // Events are never counted less: more of them are the later state.
      return a.entry.events >= b.entry.events ? a : b
    }
    let isOwn = a.name.withUnsafeBytes { first in b.name.withUnsafeBytes { isName(first, before: $0) } }
    return isOwn ? own.popFirst() : other.popFirst()
  }
}

extension SourceClocks {
  /// The first sources of a range that have changed since the last checkpoint, with what is known of them now.
  func unsaved(in range: SourceRange) -> [NamedSource] {
    guard unsavedCount > 0, range.limit > 0 else { return [] }
    let table = table
    func isBefore(_ a: Int, _ b: Int) -> Bool {
      table.withName(a) { first in table.withName(b) { isName(first, before: $0) } }
    }
    // At most twice the limit are held; beyond the limit's last one none is looked for any more.
    var found: [Int] = []
    var last: Int?
    func tidy() {
      found.sort(by: isBefore)
      guard found.count >= range.limit else { return }
      found.removeSubrange(range.limit...)
      last = found.last
    }
    table.forEachChanged { number in
      guard table.withName(number, range.contains) else { return }
      if let last, !isBefore(number, last) { return }
      found.append(number)
      if found.count >= 2 * range.limit { tidy() }
    }
    tidy()
    return found.map { number in NamedSource(name: table.withName(number) { Array($0) }, entry: table.entry(number)) }
  }
}
