/// The trace context of events that have none of their own.
extension EventScanner {
  /// The present message's trace context, in the scanner's own memory, which the tape may point into.
  struct Trace: ~Copyable {
    var parentPath: Int32 = -1
    var statePath: Int32 = -1
    var parent = GrowableBuffer<UInt8>(capacity: 64)
    var state = GrowableBuffer<UInt8>(capacity: 64)
  }

  mutating func setTrace(_ context: TraceContext) {
    nameTrace()
    trace.parent.removeAll()
    for byte in context.parent.utf8 { trace.parent.append(byte) }
    trace.state.removeAll()
    for byte in (context.state ?? "").utf8 { trace.state.append(byte) }
  }

  /// Finds the attributes' numbers in the path table.
  mutating func nameTrace() {
    trace.parentPath = paths.attribute("traceparent")
    trace.statePath = paths.attribute("tracestate")
  }

  /// Gives the event just read the message's trace context, unless it has one of its own.
  mutating func addTrace() {
    guard tape.attributes.count <= EventScanner.attributesMax - 2, paths.mark(trace.parentPath) else { return }
    add(trace.parentPath, UnsafePointer(trace.parent.base), trace.parent.count)
    guard trace.state.count > 0, paths.mark(trace.statePath) else { return }
    add(trace.statePath, UnsafePointer(trace.state.base), trace.state.count)
  }

  private mutating func add(_ path: Int32, _ text: UnsafePointer<UInt8>, _ count: Int) {
    tape.attributes.append(EventTape.Leaf(path: path, kind: .string, slice: EventTape.Slice(start: text, count: count)))
    tape.textBytes += count
  }
}
