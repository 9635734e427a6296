import Aggregates
import Events

/// The canonical state of these values of the only argument.
public func stateWords(_ layout: StateLayout, _ values: [Double]) -> [UInt64] {
  var vector = ValueVector(repeating: .double, count: values.count)
  vector.bits = values.map(\.bitPattern)
  var rows = StateRows(layout: layout)
  rows.append()
  let times = values.indices.map { Int64($0) }
  Array(repeating: Int32(0), count: values.count).withUnsafeBufferPointer { slots in
    times.withUnsafeBufferPointer { times in
      let batch = StateRows.Batch(slots: slots, times: times, baseOffset: .zero)
      rows.foldRows(batch)
      rows.fold(argument: 0, vector, batch) { _, _ in }
    }
  }
  var words: [UInt64] = []
  rows.appendCanonical(0, to: &words)
  return words
}
