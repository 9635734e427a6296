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
  /// Readable zero bytes that must follow a message.
  public static let padding = JSONCursor.padding
  /// Longest `source`, `type`, `id`, `subject` and extension value, in bytes.
  public static let attributeBytesMax = 8192
  /// Longest string in `data`, in bytes; one less than 1 MiB.
  public static let stringBytesMax = (1 << 20) - 1
  /// Most values in one event.
  public static let leavesMax = 4096
  /// Bytes that the paths of one event's values have in all, each written out from `data` on: 1 MiB. A batch holds them so.
  public static let pathBytesMax = 1 << 20
  /// Longest extension attribute name; CloudEvents asks for 20 and allows more.
  public static let attributeNameBytesMax = 64

  public enum Framing: Sendable {
    /// One event, or an array of events.
    case json
    /// One event, and nothing but one.
    case single
    /// One event a line; empty lines are passed over.
    case lines
  }

  public enum Step: Sendable {
    /// The event is on the tape: append it to its partition's builder before the next call.
    case event(index: Int)
    /// `index` is nil where the whole message is bad.
    case reject(index: Int?, EventReject)
  }

  /// An event that is not taken. Its bytes live until the next `next()`.
  public struct Rejected {
    /// Where it begins, in bytes from the message's start.
    public var position: Int
    /// As far as it can be told from what stands behind it.
    public var bytes: UnsafeRawBufferPointer
    /// Its own, or the default where it brings none; nil where neither is known.
    public var source: UnsafeRawBufferPointer?
  }

  // Behind a pointer: a stored property of a class would be checked for overlapping access at each call, once or more an event.
  private let scanner: UnsafeMutablePointer<EventScanner>

  public init() {
    scanner = .allocate(capacity: 1)
    scanner.initialize(to: EventScanner())
  }

  deinit {
    scanner.deinitialize(count: 1)
    scanner.deallocate()
  }

  /// FNV-1a of the present event's source: modulo the partition count it is the partition.
  public var sourceHash: UInt64 { scanner.pointee.tape.sourceHash }
  /// Whether the present event's time is its own, not that of its arrival.
  public var hasTime: Bool { scanner.pointee.tape.hasTime }
  /// Lends the present event's source, UTF-8.
  public func withSource<R>(_ body: (UnsafeRawBufferPointer) -> R) -> R {
    body(scanner.pointee.tape.source?.bytes ?? UnsafeRawBufferPointer(start: nil, count: 0))
  }

  /// What the reject just read is about; of an event just read, what it would be if the caller rejects it.
  /// - Parameter isWhole: The step was `.event`.
  public func rejected(isWhole: Bool) -> Rejected { scanner.pointee.rejected(isWhole: isWhole) }

  /// Bytes of the message that have been read.
  public var position: Int { scanner.pointee.cursor.position }
  /// Bytes the present event took in its message.
  public var eventBytes: Int { scanner.pointee.tape.textBytes }
  /// Whether the path table has reached its bound: call `resetPaths()` when no builder holds unsealed rows.
  public var needsReset: Bool { scanner.pointee.paths.needsReset }

  public func resetPaths() { scanner.pointee.resetPaths() }

  /// Begins a message.
  /// - Parameters:
  ///   - message: Valid UTF-8, with `padding` readable zero bytes after it; must live until the last `next()`.
  ///   - framing: How the message's events are set off.
  ///   - arrival: The time of events that bring none.
  ///   - defaultSource: The source of events that bring none; at most `attributeBytesMax` bytes.
  public func begin(message: UnsafeRawBufferPointer, framing: Framing, arrival: Timestamp, defaultSource: [UInt8]?) {
    scanner.pointee.begin(message: message, framing: framing, arrival: arrival, defaultSource: defaultSource)
  }

  /// What `addTrace` gives the events of the message begun.
  public func setTrace(_ context: TraceContext) { scanner.pointee.setTrace(context) }

  /// Gives the event just read the message's trace context as its attributes, unless it has one of its own.
  public func addTrace() { scanner.pointee.addTrace() }

  /// Reads the next event; nil at the message's end.
  public func next() -> Step? { scanner.pointee.next() }

  /// Lends the scanner to a builder.
  @inline(__always) func withScanner<R>(_ body: (borrowing EventScanner) -> R) -> R { body(scanner.pointee) }
}
