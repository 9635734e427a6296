import Aggregates
import Events
import Expressions

/// One view: its filter, keys, windows and aggregates.
public struct ViewDefinition: Sendable, Hashable {
  public static let keysMax = 16
  public static let aggregatesMax = 64

  /// In one object, so that copying a definition copies one reference: it goes along with every read and every answered row.
  private let storage: Storage

  private final class Storage: Sendable {
    let name: String
    let filter: Expression?
    let keys: [KeyColumn]
    let window: WindowDefinition
    let watermark: WatermarkScope
    let watermarkDelay: Int64
    let allowedLateness: Int64
    let retention: Int64?
    let aggregates: [AggregateColumn]
    let arguments: [Expression]
    let layout: StateLayout
    let schema: ViewSchema
    let canonicalText: String
    let generationHash: String

    init(
      _ name: String, _ filter: Expression?, _ keys: [KeyColumn], _ window: WindowDefinition, _ watermark: WatermarkScope,
      _ watermarkDelay: Int64, _ allowedLateness: Int64, _ retention: Int64?, _ aggregates: [AggregateColumn]
    ) {
      self.name = name
      self.filter = filter
      self.keys = keys
      self.window = window
      self.watermark = watermark
      self.watermarkDelay = watermarkDelay
      self.allowedLateness = allowedLateness
      self.retention = retention
      self.aggregates = aggregates
      var arguments: [Expression] = []
      for case let argument? in aggregates.map(\.argument) where !arguments.contains(argument) { arguments.append(argument) }
      self.arguments = arguments
      layout = StateLayout(
        aggregates.map { column in
          StateLayout.Column(
            function: column.function, argument: column.argument.flatMap { arguments.firstIndex(of: $0) },
            argumentType: column.argument?.type ?? .any)
        })
      schema = ViewSchema(keys: keys, aggregates: aggregates)
      var lines = ["penstock view 1", "name \(name)", "where \(filter?.canonicalText ?? "true")"]
      lines += keys.map { "key \($0.name) \($0.path.expressionText)" }
      // A definition of the partition's time keeps the hash that it had before there was a choice.
      let scope = watermark == .partition ? [] : ["watermark \(watermark.rawValue)"]
      lines += ["window \(window.canonicalText)"] + scope
      lines += ["watermark_delay \(watermarkDelay)", "allowed_lateness \(allowedLateness)"]
      lines += aggregates.map { "aggregate \($0.name) \($0.canonicalText)" }
      var text = lines.joined(separator: "\n")
      generationHash = text.withUTF8 { bytes in
        hexadecimal(stableHash(UnsafeRawBufferPointer(bytes)))
          + hexadecimal(stableHash(UnsafeRawBufferPointer(bytes), seed: 0x9AE1_6A3B_2F90_404F))
      }
      canonicalText = text
    }
  }

  /// `[a-z][a-z0-9_]*`, at most 63 bytes.
  public var name: String { storage.name }
  /// The condition that events must meet; nil for all.
  public var filter: Expression? { storage.filter }
  public var keys: [KeyColumn] { storage.keys }
  public var window: WindowDefinition { storage.window }
  public var watermark: WatermarkScope { storage.watermark }
  /// Nanoseconds that the event-time watermark trails the largest event time.
  public var watermarkDelay: Int64 { storage.watermarkDelay }
  /// Nanoseconds that a window still takes events after the event-time watermark has passed its end.
  public var allowedLateness: Int64 { storage.allowedLateness }
  /// Nanoseconds of event time for which rows are kept; for ever when nil.
  public var retention: Int64? { storage.retention }
  public var aggregates: [AggregateColumn] { storage.aggregates }
  /// The distinct arguments of the aggregates, to be evaluated once a batch each.
  public var arguments: [Expression] { storage.arguments }
  /// How the aggregates' state lies in memory.
  public var layout: StateLayout { storage.layout }
  /// The columns of its results.
  public var schema: ViewSchema { storage.schema }

  public init(
    name: String, filter: Expression? = nil, keys: [KeyColumn] = [], window: WindowDefinition,
    watermark: WatermarkScope = .source, watermarkDelay: Int64 = 0, allowedLateness: Int64 = 0, retention: Int64? = nil,
    aggregates: [AggregateColumn]
  ) {
    storage = Storage(name, filter, keys, window, watermark, watermarkDelay, allowedLateness, retention, aggregates)
  }

  /// A text that is equal for definitions that compute the same: comments, spaces, quotes and the order of a view's
  /// settings do not matter, the order of keys and aggregates does. `retention` is left out: it decides which rows are
  /// kept, not their content.
  public var canonicalText: String { storage.canonicalText }

  /// 32 hexadecimal digits of a hash of `canonicalText`: the id of one generation of the view, on every machine. Two
  /// FNV-1a hashes with different starts tell definitions apart, but do not resist someone who wants them to collide.
  public var generationHash: String { storage.generationHash }

  /// The event-time watermark of a partition whose largest event time is this. Nanoseconds.
  @inlinable public func eventTimeWatermark(ofLargest eventTime: Int64) -> Int64 {
    let (value, overflow) = eventTime.subtractingReportingOverflow(watermarkDelay)
    return overflow ? Int64.min : value
  }

  /// Whether a window takes no more events: further events for it are late, and its row is final. Nanoseconds.
  @inlinable public func isClosed(windowEnd: Int64, at eventTimeWatermark: Int64) -> Bool {
    windowEnd <= closedEnd(at: eventTimeWatermark)
  }

  /// Windows that end at or before this are closed. Nanoseconds; never the last of the range of times, which stands for every end
  /// beyond it: no time closes those.
  @inlinable public func closedEnd(at eventTimeWatermark: Int64) -> Int64 {
    let (end, overflow) = eventTimeWatermark.subtractingReportingOverflow(allowedLateness)
    return overflow ? Int64.min : min(end, Int64.max - 1)
  }

  /// Windows that end at or before this are past retention, in a partition with that event-time watermark; nil when none are. A
  /// row stays at least for as long as it takes events, whatever `retention` says: so no event is counted in a deleted row.
  public func expiredEnd(at eventTimeWatermark: Int64) -> Int64? {
    guard let retention else { return nil }
    let (end, overflow) = eventTimeWatermark.subtractingReportingOverflow(max(retention, allowedLateness))
    return overflow || end == .min ? nil : min(end, Int64.max - 1)
  }

  /// Whether all events of a row are in one partition, that of its source.
  public var hasSourceKey: Bool { keys.contains { $0.path == .attribute("source") } }

  public static func == (a: Self, b: Self) -> Bool {
    a.storage === b.storage
      || a.retention == b.retention && a.generationHash == b.generationHash
        && a.canonicalText.utf8.elementsEqual(b.canonicalText.utf8)
  }

  public func hash(into hasher: inout Hasher) { hasher.combine(generationHash) }
}

/// A key column: its name in results and its path in an event.
public struct KeyColumn: Sendable, Hashable {
  public let name: String
  public let path: ValuePath

  public init(name: String, path: ValuePath) {
    self.name = name
    self.path = path
  }
}

/// An aggregate column: its name in results, the function, and its argument.
public struct AggregateColumn: Sendable, Hashable {
  public let name: String
  public let function: AggregateFunction
  /// Nil for `count()`.
  public let argument: Expression?

  public init(name: String, function: AggregateFunction, argument: Expression? = nil) {
    precondition((argument == nil) == (function.argument == .none), "every aggregate but count() takes an argument")
    self.name = name
    self.function = function
    self.argument = argument
  }

  public var canonicalText: String { function.text(argument?.canonicalText) }
}
