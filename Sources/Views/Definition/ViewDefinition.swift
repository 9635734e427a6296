import Events

/// One view: which events, by which keys, in which windows, into which aggregates.
public struct ViewDefinition: Sendable, Hashable {
  public static let keysMax = 16
  public static let aggregatesMax = 64

  /// `[a-z][a-z0-9_]*`, at most 63 bytes.
  public let name: String
  /// Which events count; all when nil.
  public let filter: Expression?
  public let keys: [KeyColumn]
  public let window: WindowDefinition
  /// Nanoseconds that the event-time watermark trails the largest event time.
  public let watermarkDelay: Int64
  /// Nanoseconds that a window still takes events after the event-time watermark has passed its end.
  public let allowedLateness: Int64
  /// Nanoseconds of event time for which rows are kept; for ever when nil.
  public let retention: Int64?
  public let aggregates: [AggregateColumn]
  /// The distinct arguments of the aggregates, to be evaluated once a batch each.
  public let arguments: [Expression]
  /// How the aggregates' state lies in memory.
  public let layout: StateLayout

  public init(
    name: String, filter: Expression? = nil, keys: [KeyColumn] = [], window: WindowDefinition, watermarkDelay: Int64 = 0,
    allowedLateness: Int64 = 0, retention: Int64? = nil, aggregates: [AggregateColumn]
  ) {
    self.name = name
    self.filter = filter
    self.keys = keys
    self.window = window
    self.watermarkDelay = watermarkDelay
    self.allowedLateness = allowedLateness
    self.retention = retention
    self.aggregates = aggregates
    var arguments: [Expression] = []
    for case let argument? in aggregates.map(\.argument) where !arguments.contains(argument) { arguments.append(argument) }
    self.arguments = arguments
    layout = StateLayout(
      aggregates.map { column in
        StateLayout.Column(function: column.function, argument: column.argument.flatMap { arguments.firstIndex(of: $0) })
      }, windowLength: window.length)
  }

  /// A text that is equal for definitions that compute the same: comments, spaces, quotes and the order of a view's settings do
  /// not matter, the order of keys and aggregates does. `retention` is left out: it changes which rows are kept, not what they
  /// hold.
  public var canonicalText: String {
    var lines = ["penstock view 1", "name \(name)", "where \(filter?.canonicalText ?? "true")"]
    lines += keys.map { "key \($0.name) \($0.path.expressionText)" }
    lines += ["window \(window.canonicalText)", "watermark_delay \(watermarkDelay)", "allowed_lateness \(allowedLateness)"]
    lines += aggregates.map { "aggregate \($0.name) \($0.canonicalText)" }
    return lines.joined(separator: "\n")
  }

  /// 32 hexadecimal digits of a hash of `canonicalText`: what one generation of the view is known by, on every machine.
  /// Two FNV-1a hashes with different starts; enough to tell definitions apart, no defence against someone who wants them to
  /// collide.
  public var generationHash: String {
    var text = canonicalText
    return text.withUTF8 { bytes in
      hexadecimal(stableHash(UnsafeRawBufferPointer(bytes)))
        + hexadecimal(stableHash(UnsafeRawBufferPointer(bytes), seed: 0x9AE1_6A3B_2F90_404F))
    }
  }

  /// The event-time watermark of a partition whose largest event time is this. Nanoseconds.
  @inlinable public func eventTimeWatermark(ofLargest eventTime: Int64) -> Int64 {
    let (value, overflow) = eventTime.subtractingReportingOverflow(watermarkDelay)
    return overflow ? Int64.min : value
  }

  /// Whether a window takes no more events: what comes for it is late, and its row is final. Nanoseconds.
  @inlinable public func isClosed(windowEnd: Int64, at eventTimeWatermark: Int64) -> Bool {
    windowEnd <= closedEnd(at: eventTimeWatermark)
  }

  /// Windows that end at or before this are closed. Nanoseconds.
  @inlinable public func closedEnd(at eventTimeWatermark: Int64) -> Int64 {
    let (end, overflow) = eventTimeWatermark.subtractingReportingOverflow(allowedLateness)
    return overflow ? Int64.min : end
  }

  public static func == (a: Self, b: Self) -> Bool { a.canonicalText == b.canonicalText && a.retention == b.retention }

  public func hash(into hasher: inout Hasher) { hasher.combine(canonicalText) }
}

/// A key column: its name in results and where an event has it.
public struct KeyColumn: Sendable, Hashable {
  public let name: String
  public let path: ValuePath

  public init(name: String, path: ValuePath) {
    self.name = name
    self.path = path
  }
}

/// An aggregate column: its name in results, the function, and what it is applied to.
public struct AggregateColumn: Sendable, Hashable {
  public let name: String
  public let function: AggregateFunction
  /// Nil for `count()`.
  public let argument: Expression?

  public init(name: String, function: AggregateFunction, argument: Expression? = nil) {
    precondition((argument == nil) == (function == .countRows), "every aggregate but count() takes an argument")
    self.name = name
    self.function = function
    self.argument = argument
  }

  public var canonicalText: String {
    if case .quantile(let q) = function { return "quantile(\(argument?.canonicalText ?? ""), \(q))" }
    return "\(function.name)(\(argument?.canonicalText ?? ""))"
  }
}

/// Sixteen hexadecimal digits.
func hexadecimal(_ value: UInt64) -> String {
  let digits = String(value, radix: 16)
  return String(repeating: "0", count: 16 - digits.count) + digits
}
