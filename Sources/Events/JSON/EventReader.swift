/// Reads events out of messages, one after the other, straight from their bytes: for one event loop.
///
/// ```
/// reader.begin(message: bytes, framing: .json, arrival: now, defaultSource: nil)
/// while let step = reader.next() {
///   switch step {
///   case .event(let index): builders[partition].append(reader)
///   case .reject(let index, let reject): …
///   }
/// }
/// ```
/// - Complexity: One pass over the bytes; no allocation once the tables have grown.
public final class EventReader {
  /// The number of readable zero bytes that must follow a message.
  public static let padding = JSONCursor.padding
  /// Longest `source`, `type`, `id`, `subject` and extension value, in bytes.
  public static let attributeBytesMax = 8192
  /// Longest string in `data`, in bytes; one less than 1 MiB.
  public static let stringBytesMax = (1 << 20) - 1
  /// Most values in one event.
  public static let leavesMax = 4096
  /// Most bytes of the paths of one event's values together, each written out from `data` on: 1 MiB. A batch stores them so.
  public static let pathBytesMax = 1 << 20
  /// Longest name of an extension attribute, in bytes; CloudEvents asks for 20 and allows more.
  public static let attributeNameBytesMax = 64

  public enum Framing: Sendable {
    /// One event, or an array of events.
    case json
    /// One event and nothing else.
    case single
    /// One event a line; empty lines are skipped.
    case lines
  }

  public enum Step: Sendable {
    /// The event is on the tape: append it to its partition's builder before the next call.
    case event(index: Int)
    /// `index` is nil where the whole message is bad.
    case reject(index: Int?, EventReject)
  }

  /// A rejected event. Its bytes live until the next `next()`.
  public struct Rejected {
    /// The position of its first byte in the message.
    public var position: Int
    /// The event's bytes, as far as its end can be found.
    public var bytes: UnsafeRawBufferPointer
    /// The event's own source, or the default where it has none; nil where neither is known.
    public var source: UnsafeRawBufferPointer?
  }

  // Behind a pointer: Swift would check a stored property of a class for overlapping access at each call, once or more an event.
  private let scanner: UnsafeMutablePointer<EventScanner>

  /// - Parameter predictsLayout: False reads every event token by token. The result is the same, only later: for tests that
  ///   compare the two.
  public init(predictsLayout: Bool = true) {
    scanner = .allocate(capacity: 1)
    scanner.initialize(to: EventScanner(isPredicting: predictsLayout))
  }

  deinit {
    scanner.deinitialize(count: 1)
    scanner.deallocate()
  }

  /// FNV-1a of the present event's source; modulo the number of partitions it is the partition.
  public var sourceHash: UInt64 { scanner.pointee.tape.sourceHashes.stable }
  /// Whether the event has a time of its own, not that of its arrival.
  public var hasTime: Bool { scanner.pointee.tape.hasTime }
  /// The present event's time, in nanoseconds; that of its arrival where it has none of its own.
  public var time: Int64 { scanner.pointee.tape.time }
  /// Lends the present event's source, UTF-8.
  public func withSource<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    body(scanner.pointee.tape.source?.bytes ?? UnsafeRawBufferPointer(start: nil, count: 0))
  }

  /// The event that the reject just read is about; after an event, the event itself, for a caller that rejects it.
  /// - Parameter isWhole: The step was `.event`.
  public func rejected(isWhole: Bool) -> Rejected { scanner.pointee.rejected(isWhole: isWhole) }

  /// Bytes of the message that have been read.
  public var position: Int { scanner.pointee.cursor.position }
  /// The bytes of the present event in its message.
  public var eventBytes: Int { scanner.pointee.tape.textBytes }
  /// Whether the path table has reached its bound: call `resetPaths()` when no builder holds unsealed rows.
  public var needsReset: Bool { scanner.pointee.paths.needsReset }

  public func resetPaths() { scanner.pointee.resetPaths() }

  /// Begins a message.
  /// - Parameters:
  ///   - message: Valid UTF-8, with `padding` readable zero bytes after it; must live until the last `next()`.
  ///   - framing: The form of the message.
  ///   - arrival: The time of events that have none.
  ///   - defaultSource: The source of events that have none; at most `attributeBytesMax` bytes.
  public func begin(message: UnsafeRawBufferPointer, framing: Framing, arrival: Timestamp, defaultSource: [UInt8]?) {
    scanner.pointee.begin(message: message, framing: framing, arrival: arrival, defaultSource: defaultSource)
  }

  /// Sets the trace context that `addTrace` gives the events of the message begun.
  public func setTrace(_ context: TraceContext) { scanner.pointee.setTrace(context) }

  /// Gives the event just read the message's trace context as attributes, unless it has one of its own.
  public func addTrace() { scanner.pointee.addTrace() }

  /// Reads the next event; nil at the message's end.
  public func next() -> Step? { scanner.pointee.next() }

  @inline(__always) func withScanner<R>(_ body: (borrowing EventScanner) -> R) -> R { body(scanner.pointee) }
}
