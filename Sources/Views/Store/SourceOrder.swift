import Events

/// The order in which sources are listed. Sources with the same value follow each other by name.
public struct SourceOrder: Sendable, Hashable {
  public enum Column: String, Sendable, Hashable, CaseIterable {
    case source
    case largestEventTime = "largest_event_time"
    case lastAppendTime = "last_append_time"
    case events
  }

  public var column: Column
  public var isDescending: Bool

  public init(_ column: Column = .source, isDescending: Bool = false) {
    self.column = column
    self.isDescending = isDescending
  }

  /// A source's place.
  public func place(of status: SourceStatus) -> SourcePlace {
    let value: Int64 =
      switch column {
      case .source: 0
      case .largestEventTime: status.largestEventTime.nanoseconds
      case .lastAppendTime: status.lastAppendTime.nanoseconds
      case .events: Int64(status.events)
      }
    return SourcePlace(value: value, source: status.source, partition: status.partition)
  }

  /// Whether one place comes before another.
  /// - Parameters:
  ///   - a: The one.
  ///   - b: The other.
  public func isBefore(_ a: SourcePlace, _ b: SourcePlace) -> Bool {
    if a.value != b.value { return (a.value < b.value) != isDescending }
    if a.source != b.source { return (a.source < b.source) != (isDescending && column == .source) }
    return a.partition < b.partition
  }
}

extension SourceOrder {
  fileprivate func isBefore(_ a: UnsafeRawBufferPointer, _ b: UTF8Text) -> Bool {
    compare(a, b) == (column == .source && isDescending ? 1 : -1)
  }

  fileprivate func isBefore(_ a: UTF8Text, _ b: UnsafeRawBufferPointer) -> Bool {
    compare(b, a) == (column == .source && isDescending ? -1 : 1)
  }

  /// −1, 0 or 1, as the bytes of one name are before, equal to or after those of the other.
  private func compare(_ a: UnsafeRawBufferPointer, _ b: UTF8Text) -> Int {
    var b = b.string
    return b.withUTF8 { PartialRows.keyOrder(a, UnsafeRawBufferPointer($0)) }.signum()
  }
}

/// A source's place in an order.
public struct SourcePlace: Sendable, Hashable {
  /// The value of the order's column; 0 where that is the name.
  public var value: Int64
  public var source: UTF8Text
  public var partition: PartitionID

  public init(value: Int64, source: UTF8Text, partition: PartitionID) {
    self.value = value
    self.source = source
    self.partition = partition
  }
}

/// The first of many sources in an order, whatever the order they come in: it holds twice as many at most.
public struct FirstSources: Sendable {
  /// Bytes of names in one answer, give or take one.
  public static let nameBytesMax = 4 << 20

  private let request: SourceReadRequest
  private var kept: [(place: SourcePlace, status: SourceStatus)] = []
  private var nameBytes = 0
  /// Sources behind this place are not wanted: there is no room for them, or they are not known.
  private var end: SourcePlace?

  public init(_ request: SourceReadRequest) { self.request = request }

  /// Whether a source is wanted, as far as value and name tell, and may have room: then it is worth being made a status.
  /// - Parameters:
  ///   - value: The value of the order's column; 0 where that is the name.
  ///   - name: The UTF-8 of its name.
  public func mayTake(value: Int64, name: UnsafeRawBufferPointer) -> Bool {
    let order = request.order
    if let after = request.after {
      if value != after.value {
        if (value < after.value) != order.isDescending { return false }
      } else if order.isBefore(name, after.source) {
        return false
      }
    }
    if let end {
      if value != end.value {
        if (value > end.value) != order.isDescending { return false }
      } else if order.isBefore(end.source, name) {
        return false
      }
    }
    return request.takes(name: name)
  }

  /// Leaves out all sources behind a place.
  public mutating func end(at place: SourcePlace) { if isWithin(place) { end = place } }

  /// Takes a source, if the request wants it and there is room for it.
  public mutating func add(_ status: SourceStatus) {
    let place = request.order.place(of: status)
    guard isWithin(place), request.after.map({ request.order.isBefore($0, place) }) ?? true,
      request.takes(
        eventTime: status.eventTime.nanoseconds, largestEventTime: status.largestEventTime.nanoseconds,
        lastAppendTime: status.lastAppendTime.nanoseconds),
      request.takes(name: status.source.string.utf8)
    else { return }
    kept.append((place, status))
    nameBytes += status.source.string.utf8.count
    if kept.count >= 2 * request.limit || nameBytes > 2 * FirstSources.nameBytesMax { cut() }
  }

  /// - Returns: The first sources in order, and the place up to which they are all; nil when none follows.
  public mutating func finish() -> (sources: [SourceStatus], next: SourcePlace?) {
    cut()
    return (kept.map(\.status), end)
  }

  private func isWithin(_ place: SourcePlace) -> Bool { end.map { !request.order.isBefore($0, place) } ?? true }

  private mutating func cut() {
    let order = request.order
    kept.sort { order.isBefore($0.place, $1.place) }
    kept = kept.filter { isWithin($0.place) }
    var count = 0
    nameBytes = 0
    for one in kept.prefix(request.limit) {
      let bytes = one.status.source.string.utf8.count
      guard count == 0 || nameBytes + bytes <= FirstSources.nameBytesMax else { break }
      nameBytes += bytes
      count += 1
    }
    guard count < kept.count else { return }
    kept.removeSubrange(count...)
    end = kept.last?.place
  }
}
