import Events
import Views

/// The distinct sources of a batch's events, numbered in the order in which they come.
///
/// Its buffers serve one batch after the other.
struct BatchSources {
  /// A batch's events of one of its sources.
  struct Tally {
    /// The largest time so far; the lowest before the first event.
    var time = Int64.min
    var events: Int32 = 0
    /// The row of its last event.
    var last: Int32 = -1
  }

  /// The code of each source in the batch.
  private(set) var codes: [UInt32] = []
  /// After `find`, the hash of each source's name, and its number in the table, −1 where that does not have it.
  private(set) var hashes: [UInt32] = []
  private(set) var numbers: [Int32] = []
  private(set) var tallies: [Tally] = []
  private var first = 0
  /// The code of each event's source.
  private var codeOfEvent: [UInt32] = []
  /// The source of each code; −1 for codes of something else.
  private var sourceOfCode: [Int32] = []
  /// Whether an event is out of bounds; empty when none is.
  private var isOutside: [Bool] = []

  /// Finds the sources of a batch's events from `first` on that are within bounds.
  /// - Parameter times: `batch.times()`; may be empty when all times are within bounds.
  mutating func load(_ batch: ColumnBatch, times: [Int64], from first: Int, within bounds: EventTimeBounds) {
    self.first = first
    codes.removeAll(keepingCapacity: true)
    sourceOfCode.removeAll(keepingCapacity: true)
    isOutside.removeAll(keepingCapacity: true)
    codeOfEvent = batch.sourceCodes()
    let (earliest, latest) = (batch.header.firstEventTime.nanoseconds, batch.header.lastEventTime.nanoseconds)
    if !bounds.contains(earliest) || !bounds.contains(latest) {
      isOutside.append(contentsOf: times.lazy.map { !bounds.contains($0) })
    }
    sourceOfCode.append(contentsOf: repeatElement(-1, count: Int(codeOfEvent.max() ?? 0) + 1))
    for event in first..<codeOfEvent.count where isOutside.isEmpty || !isOutside[event] {
      let code = codeOfEvent[event]
      if sourceOfCode[Int(code)] < 0 {
        sourceOfCode[Int(code)] = Int32(codes.count)
        codes.append(code)
      }
    }
  }

  /// Finds the sources' numbers in the table.
  mutating func find(_ strings: SharedStrings, in table: SourceTable) {
    table.find(codes, in: strings, hashes: &hashes, numbers: &numbers)
  }

  /// A source that the table did not have has got a number.
  mutating func setNumber(_ number: Int, of source: Int) { numbers[source] = Int32(number) }

  /// Goes through the events in order.
  /// - Parameters:
  ///   - limit: Larger times count as this.
  ///   - table: The sources' times before.
  ///   - sourceTimes: Gets the largest time of the event's own source up to and with each event.
  mutating func count(_ times: [Int64], limit: Int64, after table: SourceTable, into sourceTimes: inout [Int64]) {
    tallies.removeAll(keepingCapacity: true)
    for number in numbers { tallies.append(Tally(time: number < 0 ? .min : table.time(Int(number)))) }
    let hasOutside = !isOutside.isEmpty, first = first
    tallies.withUnsafeMutableBufferPointer { tallies in
      sourceTimes.withUnsafeMutableBufferPointer { sourceTimes in
        for event in first..<codeOfEvent.count {
          if hasOutside, isOutside[event] { continue }
          let source = Int(sourceOfCode[Int(codeOfEvent[event])])
          let time = max(tallies[source].time, min(times[event], limit))
          tallies[source].time = time
          tallies[source].events &+= 1
          tallies[source].last = Int32(truncatingIfNeeded: event)
          sourceTimes[event] = time
        }
      }
    }
  }

  /// Calls `body` with the source of each counted event for which `condition` holds, and the event, in order.
  func forEach(where condition: (Int) -> Bool, _ body: (_ source: Int, _ event: Int) -> Void) {
    for event in first..<codeOfEvent.count where (isOutside.isEmpty || !isOutside[event]) && condition(event) {
      body(Int(sourceOfCode[Int(codeOfEvent[event])]), event)
    }
  }
}
