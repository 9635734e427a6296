import Testing

@testable import Events

@Suite struct TraceContextTests {
  private static let parent = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"

  @Test("a context is taken as W3C has it, a later version too, and left alone when it is none")
  func parsing() {
    let context = TraceContext(parent: Self.parent, states: ["a=1", "b=2"])
    #expect(context?.parent == Self.parent)
    #expect(context?.state == "a=1,b=2")
    #expect(TraceContext(parent: "cc" + Self.parent.dropFirst(2) + "-more") != nil)
    for bad in [
      "", "00", Self.parent.uppercased(), Self.parent + "0", Self.parent + "-more", "ff" + Self.parent.dropFirst(2),
      "00-00000000000000000000000000000000-00f067aa0ba902b7-01", "00-4bf92f3577b34da6a3ce929d0e0e4736-0000000000000000-01",
      Self.parent.replacing("-", with: "_"), String(repeating: "é", count: 28),
    ] {
      #expect(TraceContext(parent: bad) == nil, "\(bad)")
    }
    for bad in ["", "a\u{7}", String(repeating: "a", count: TraceContext.stateBytesMax + 1)] {
      #expect(TraceContext(parent: Self.parent, states: [bad])?.state == nil, "\(bad)")
    }
  }

  @Test("events that bring no trace get the message's; those that do keep theirs, whole")
  func events() throws {
    let other = "00-11111111111111111111111111111111-2222222222222222-00"
    let text =
      #"[{"source":"a","type":"t"},{"source":"a","type":"t","traceparent":"\#(other)"},{"tracestate":"x=9","source":"a","type":"t"}]"#
    var bytes = Array(text.utf8)
    bytes += Array(repeating: 0, count: EventReader.padding)
    let reader = EventReader()
    let builder = ColumnBatchBuilder(partition: PartitionID(0))
    bytes.withUnsafeBytes { all in
      reader.begin(
        message: UnsafeRawBufferPointer(rebasing: all.prefix(text.utf8.count)), framing: .json, arrival: .systemNow(),
        defaultSource: nil)
      reader.setTrace(TraceContext(parent: Self.parent, states: ["v=1"])!)
      while let step = reader.next() {
        guard case .event = step else {
          Issue.record("\(step)")
          continue
        }
        reader.addTrace()
        builder.append(reader)
      }
    }
    let events = try #require(builder.seal(reader)).events()
    let traces = events.map { [$0.attributes["traceparent"], $0.attributes["tracestate"]] }
    #expect(
      traces == [
        [.string(Self.parent), .string("v=1")], [.string(other), nil], [.string(Self.parent), .string("x=9")],
      ])
  }

  @Test("a message's context outlasts a reset of the paths in its midst")
  func resetInMessage() throws {
    let text = #"[{"source":"a","type":"t"},{"source":"a","type":"t"}]"#
    let reader = EventReader()
    let builder = ColumnBatchBuilder(partition: PartitionID(0))
    var events: [Event] = []
    (Array(text.utf8) + Array(repeating: 0, count: EventReader.padding)).withUnsafeBytes { all in
      reader.begin(
        message: UnsafeRawBufferPointer(rebasing: all.prefix(text.utf8.count)), framing: .json, arrival: .systemNow(),
        defaultSource: nil)
      reader.setTrace(TraceContext(parent: Self.parent, states: ["v=1"])!)
      while case .event? = reader.next() {
        reader.addTrace()
        builder.append(reader)
        events += builder.seal(reader)?.events() ?? []
        reader.resetPaths()
      }
    }
    #expect(events.map { $0.attributes["traceparent"] } == [.string(Self.parent), .string(Self.parent)])
    #expect(events.map { $0.attributes["tracestate"] } == [.string("v=1"), .string("v=1")])
  }
}
