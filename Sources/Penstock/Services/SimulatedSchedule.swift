/// Which device sends next. Devices with a backlog take turns; a reading that is due goes before all backlogs.
struct SimulatedSchedule {
  struct Entry: Comparable {
    /// Nanoseconds since the run's start; below 0 for a backlog.
    var due: Int64
    /// The device's place in the fleet: among those due at once, the first goes first.
    var device: Int

    static func < (a: Entry, b: Entry) -> Bool { (a.due, a.device) < (b.due, b.device) }
  }

  /// Devices with a backlog, in turn: those before `turn` had theirs, and those of them below `kept` have more.
  private var ring: [Entry] = []
  private var turn = 0
  private var kept = 0
  /// A binary heap of the others.
  private var heap: [Entry] = []

  init() {}

  /// Adds a device, or one that was taken out and has more to send.
  mutating func add(_ device: Int, due: Int64) {
    let entry = Entry(due: due, device: device)
    guard due < 0 else { return push(entry) }
    if kept < turn {
      ring[kept] = entry
    } else {
      ring.append(entry)
      turn = ring.count
    }
    kept += 1
  }

  /// The device that sends next: one whose reading is due, else one with a backlog, else the one whose reading is due first.
  /// - Parameter time: The time of sending.
  mutating func first(at time: Int64) -> Entry? {
    if let first = heap.first, first.due <= time { return first }
    if turn == ring.count {
      ring.removeSubrange(kept...)
      (turn, kept) = (0, 0)
    }
    return turn < ring.count ? ring[turn] : heap.first
  }

  /// Takes out the entry that `first` gave.
  mutating func remove(_ entry: Entry) {
    if entry.due < 0 { turn += 1 } else { pop() }
  }

  private mutating func push(_ entry: Entry) {
    var place = heap.count
    heap.append(entry)
    while place > 0, entry < heap[(place - 1) / 2] {
      heap[place] = heap[(place - 1) / 2]
      place = (place - 1) / 2
    }
    heap[place] = entry
  }

  private mutating func pop() {
    guard let last = heap.popLast(), !heap.isEmpty else { return }
    var place = 0
    while true {
      var child = 2 * place + 1
      guard child < heap.count else { break }
      if child + 1 < heap.count, heap[child + 1] < heap[child] { child += 1 }
      guard heap[child] < last else { break }
      heap[place] = heap[child]
      place = child
    }
    heap[place] = last
  }
}
