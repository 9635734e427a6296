import Aggregates
import Events
import Expressions

extension PartialRows {
  /// The rows of a result: merged as by `merged(layout:keptKeys:step:)`, and overlapping sessions of one key joined.
  ///
  /// Where `keptKeys` leaves the source out, `sourceWatermarks` is left out too: a row may be of several sources then.
  public func merged(for definition: ViewDefinition, keptKeys: [Int]? = nil, step: Int64? = nil) -> PartialRows {
    var rows = self
    if !definition.keepsSource(keptKeys: keptKeys) { rows.sourceWatermarks = [] }
    return switch definition.window.keeping {
    case .slots: rows.merged(layout: definition.layout, keptKeys: keptKeys, step: step)
    case .sessions:
      rows.joiningSessions(layout: definition.layout, keptKeys: keptKeys).merged(layout: definition.layout, step: step)
    }
  }

  /// Merges rows: rows of the same window and key become one. Fewer keys or longer windows make more of them the same.
  ///
  /// The same rows always give the same bytes, whatever their order.
  /// - Parameters:
  ///   - layout: The view's layout.
  ///   - keptKeys: The numbers of the key columns to keep, in the result's order; nil keeps all.
  ///   - step: Nanoseconds; windows that begin in the same multiple of it become one. Nil leaves the windows.
  /// - Returns: Rows in the order of window start, then key, each with the lowest partition and the earliest event-time watermark
  ///   of a source that contributed. With `step`, a window is the step's.
  /// - Complexity: A sort of the rows.
  public func merged(layout: StateLayout, keptKeys: [Int]? = nil, step: Int64? = nil) -> PartialRows {
    precondition(layout.stride == stride, "rows of one view have one stride")
    precondition(step.map { $0 > 0 } ?? true, "a step has a length")
    let rekeyed = keptKeys != nil || step != nil ? regrouped(keptKeys, step) : self
    if rekeyed.isMerged { return rekeyed }
    let order = rekeyed.canonicalOrder()
    // Mostly there is nothing to merge: a key has all its rows in one partition.
    guard zip(order, order.dropFirst()).contains(where: { rekeyed.isSameGroup($0, $1) }) else { return rekeyed.gathered(order) }
    var result = PartialRows(stride: stride)
    result.reserveCapacity(count)
    var merging = StateRows(layout: layout)
    merging.append()
    var next = 0
    while next < order.count {
      let first = next
      repeat { next += 1 } while next < order.count && rekeyed.isSameGroup(order[first], order[next])
      result.append(merging: order[first..<next], of: rekeyed, &merging)
    }
    return result
  }

  /// Appends the union of rows, with the first one's start and key, the last end, the lowest partition and the earliest
  /// event-time watermark of their sources.
  /// - Parameter merging: One row, which is reset.
  mutating func append(merging group: some Collection<Int>, of other: PartialRows, _ merging: inout StateRows) {
    guard let first = group.first else { return }
    guard group.count > 1 else { return append(first, of: other) }
    merging.reset(0)
    var partition = other.partitions[first]
    var end = other.windowEnds[first]
    for row in group {
      partition = Swift.min(partition, other.partitions[row])
      end = Swift.max(end, other.windowEnds[row])
      other.withState(row) { merging.merge(into: 0, $0) }
    }
    let sourceWatermark = group.lazy.compactMap { other.sourceWatermark($0) }.min()
    other.withKey(first) { key in
      append(
        partition: partition, windowStart: other.windowStarts[first], windowEnd: end, key: key, sourceWatermark: sourceWatermark
      ) { merging.appendCanonical(0, to: &$0) }
    }
  }

  /// Appends the union of a row of these others and one of those, which are of one partition, window and key.
  /// - Parameters:
  ///   - row: Its number.
  ///   - others: Rows of the same view.
  ///   - other: The other's number.
  ///   - those: Rows of the same view.
  ///   - merging: One row at most, which is reset.
  public mutating func append(
    merging row: Int, of others: PartialRows, and other: Int, of those: PartialRows, _ merging: inout StateRows
  ) {
    if merging.count == 0 { merging.append() } else { merging.reset(0) }
    others.withState(row) { merging.merge(into: 0, $0) }
    those.withState(other) { merging.merge(into: 0, $0) }
    let (first, second) = (others.sourceWatermark(row), those.sourceWatermark(other))
    let isKnown = first != nil || second != nil
    others.withKey(row) { key in
      append(
        partition: others.partitions[row], windowStart: others.windowStarts[row], windowEnd: others.windowEnds[row], key: key,
        sourceWatermark: isKnown ? Swift.min(first ?? .min, second ?? .min) : nil
      ) { merging.appendCanonical(0, to: &$0) }
    }
  }

  func regrouped(_ keptKeys: [Int]?, _ step: Int64?) -> PartialRows {
    var result = PartialRows(stride: stride)
    result.reserveCapacity(count)
    var key: [UInt8] = []
    for row in 0..<count {
      key.removeAll(keepingCapacity: true)
      withKey(row) { bytes in
        guard let keptKeys else { return key.append(contentsOf: bytes) }
        let ranges = KeyCodec.ranges(in: bytes) ?? []
        for index in keptKeys where index < ranges.count {
          key.append(contentsOf: UnsafeRawBufferPointer(rebasing: bytes[ranges[index]]))
        }
      }
      var start = windowStarts[row]
      var end = windowEnds[row]
      if let step {
        end = Swift.max(WindowDefinition.tumbleEnd(of: start, size: step), end)
        start = WindowDefinition.tumbleStart(of: start, size: step)
      }
      key.withUnsafeBytes { key in
        withState(row) { state in
          result.append(
            partition: partitions[row], windowStart: start, windowEnd: end, key: key, state: state,
            sourceWatermark: sourceWatermark(row))
        }
      }
    }
    return result
  }

  /// Row numbers in the canonical order: that of window start, key and window end. Rows that are alike in all three, of several
  /// partitions, keep theirs.
  public func canonicalOrder() -> [Int] {
    // All memory is held still around the sort, so that comparing two rows is arithmetic on addresses.
    withPlaces { keys, ends, starts in
      (0..<starts.count).sorted { a, b in
        if starts[a] != starts[b] { return starts[a] < starts[b] }
        let byKey = Order.of(slice(keys, ends, a), slice(keys, ends, b))
        if byKey != Order.equal { return byKey == Order.less }
        return windowEnds[a] != windowEnds[b] ? windowEnds[a] < windowEnds[b] : a < b
      }
    }
  }

  public func ordered() -> PartialRows { isMerged ? self : gathered(canonicalOrder()) }

  /// Whether the rows are in the order of window start and key, no two alike: merging then changes nothing.
  public var isMerged: Bool {
    withPlaces { keys, ends, starts in
      for row in 0..<starts.count where row > 0 {
        if starts[row - 1] > starts[row] { return false }
        guard starts[row - 1] == starts[row] else { continue }
        guard Order.of(slice(keys, ends, row - 1), slice(keys, ends, row)) == Order.less else { return false }
      }
      return true
    }
  }

  private func withPlaces<R>(
    _ body: (_ keys: UnsafeRawBufferPointer, _ ends: UnsafeBufferPointer<Int>, _ starts: UnsafeBufferPointer<Int64>) -> R
  ) -> R {
    keyBytes.withUnsafeBytes { keys in
      keyEnds.withUnsafeBufferPointer { ends in windowStarts.withUnsafeBufferPointer { body(keys, ends, $0) } }
    }
  }

  private func gathered(_ order: [Int]) -> PartialRows {
    var result = PartialRows(stride: stride)
    result.append(order[...], of: self)
    return result
  }

  /// Appends rows in an order.
  /// - Parameters:
  ///   - order: Their numbers.
  ///   - other: Rows of the same view.
  public mutating func append(_ order: ArraySlice<Int>, of other: PartialRows) {
    appendSourceWatermarks(of: order, other)
    partitions.append(contentsOf: order.map { other.partitions[$0] })
    windowStarts.append(contentsOf: order.map { other.windowStarts[$0] })
    windowEnds.append(contentsOf: order.map { other.windowEnds[$0] })
    // All memory is held still around the loops, so that a row is two copies of bytes.
    other.keyBytes.withUnsafeBufferPointer { bytes in
      for row in order {
        keyBytes.append(contentsOf: UnsafeBufferPointer(rebasing: bytes[other.keyRange(row)]))
        keyEnds.append(keyBytes.count)
      }
    }
    other.states.withUnsafeBufferPointer { words in
      for row in order {
        states.append(contentsOf: UnsafeBufferPointer(rebasing: words[other.stateRange(row)]))
        stateEnds.append(states.count)
      }
    }
  }

  private func isSameGroup(_ a: Int, _ b: Int) -> Bool {
    guard windowStarts[a] == windowStarts[b] else { return false }
    return withKey(a) { first in withKey(b) { bytesEqual(first, $0) } }
  }
}

@inline(__always) private func slice(
  _ bytes: UnsafeRawBufferPointer, _ ends: UnsafeBufferPointer<Int>, _ row: Int
) -> UnsafeRawBufferPointer {
  UnsafeRawBufferPointer(rebasing: bytes[(row == 0 ? 0 : ends[row - 1])..<ends[row]])
}
