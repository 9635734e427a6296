import Events

extension PartialRows {
  /// Merges rows: those of the same window and key become one, and with fewer keys or longer windows, so do more of them.
  ///
  /// States are merged in the order of their own window, then partition, then their own key, whatever the order of the rows:
  /// the same rows always give the same bytes.
  /// - Parameters:
  ///   - layout: The view's.
  ///   - keptKeys: Numbers of the key columns to keep, in the order the result has them; nil keeps all.
  ///   - step: Nanoseconds; windows that begin in the same multiple of it become one. Nil leaves the windows.
  /// - Returns: Rows in the order of window start, then key, each with the lowest partition that contributed. With `step`, a
  ///   window is the step's.
  /// - Complexity: A sort of the rows.
  public func merged(layout: StateLayout, keptKeys: [Int]? = nil, step: Int64? = nil) -> PartialRows {
    precondition(layout.stride == stride, "rows of one view have one stride")
    precondition(step.map { $0 > 0 } ?? true, "a step has a length")
    var rekeyed = self
    if keptKeys != nil || step != nil { rekeyed = regrouped(keptKeys, step) }
    let order = rekeyed.mergeOrder(before: self)
    var result = PartialRows(stride: stride)
    result.reserveCapacity(count)
    var last = -1
    for row in order {
      if last >= 0, rekeyed.isSameGroup(last, row) {
        result.mergeIntoLast(rekeyed, row, layout)
      } else {
        rekeyed.withKey(row) { key in
          rekeyed.withState(row) { state in
            result.append(
              partition: rekeyed.partitions[row], windowStart: rekeyed.windowStarts[row], windowEnd: rekeyed.windowEnds[row],
              key: key, state: state)
          }
        }
        last = row
      }
    }
    return result
  }

  private func regrouped(_ keptKeys: [Int]?, _ step: Int64?) -> PartialRows {
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
        start = WindowDefinition.tumbleStart(of: start, size: step)
        end = Swift.max(WindowDefinition.end(of: start, size: step), end)
      }
      key.withUnsafeBytes { key in
        withState(row) { state in
          result.append(partition: partitions[row], windowStart: start, windowEnd: end, key: key, state: state)
        }
      }
    }
    return result
  }

  /// Row numbers by window start and key; within those by the window start, partition and key before regrouping.
  private func mergeOrder(before original: PartialRows) -> [Int] {
    // All memory is held still around the sort, so that comparing two rows is arithmetic on addresses.
    keyBytes.withUnsafeBytes { keys in
      keyEnds.withUnsafeBufferPointer { ends in
        original.keyBytes.withUnsafeBytes { originalKeys in
          original.keyEnds.withUnsafeBufferPointer { originalEnds in
            windowStarts.withUnsafeBufferPointer { starts in
              original.windowStarts.withUnsafeBufferPointer { originalStarts in
                partitions.withUnsafeBufferPointer { partitions in
                  (0..<starts.count).sorted { a, b in
                    if starts[a] != starts[b] { return starts[a] < starts[b] }
                    let byKey = Order.of(slice(keys, ends, a), slice(keys, ends, b))
                    if byKey != Order.equal { return byKey == Order.less }
                    if originalStarts[a] != originalStarts[b] { return originalStarts[a] < originalStarts[b] }
                    if partitions[a] != partitions[b] { return partitions[a] < partitions[b] }
                    return Order.of(slice(originalKeys, originalEnds, a), slice(originalKeys, originalEnds, b)) == Order.less
                  }
                }
              }
            }
          }
        }
      }
    }
  }

  private func isSameGroup(_ a: Int, _ b: Int) -> Bool {
    guard windowStarts[a] == windowStarts[b] else { return false }
    return withKey(a) { first in withKey(b) { bytesEqual(first, $0) } }
  }

  private mutating func mergeIntoLast(_ other: PartialRows, _ row: Int, _ layout: StateLayout) {
    let last = count - 1
    partitions[last] = Swift.min(partitions[last], other.partitions[row])
    windowEnds[last] = Swift.max(windowEnds[last], other.windowEnds[row])
    states.withUnsafeMutableBufferPointer { states in
      other.withState(row) { layout.merge(into: states.baseAddress! + last * stride, from: $0) }
    }
  }
}

/// A row's bytes.
@inline(__always) private func slice(
  _ bytes: UnsafeRawBufferPointer, _ ends: UnsafeBufferPointer<Int>, _ row: Int
) -> UnsafeRawBufferPointer {
  UnsafeRawBufferPointer(rebasing: bytes[(row == 0 ? 0 : ends[row - 1])..<ends[row]])
}
