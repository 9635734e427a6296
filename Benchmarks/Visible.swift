import ArgumentParser
import Foundation
import Glibc
import PenstockClient

struct Visible: ParsableCommand {
  static let configuration = CommandConfiguration(
    commandName: "visible",
    abstract: "From a device's send to its event counted in a query's answer, under load, against a running penstock up.")

  @OptionGroup var options: LoadOptions

  @Option(help: "The query service's port on 127.0.0.1.")
  var queryPort = 8080

  @Option(help: "A view that counts events of type reading.")
  var view = "activity"

  @Option(help: "More of the query: where=, group_by=, from=.")
  var query = "group_by=&limit=1"

  @Option(help: "Milliseconds between probes.")
  var every = 20

  func run() throws {
    let options = options
    let end = monotonicNow() + UInt64((options.warmUp + options.seconds) * 1e9)
    let load = Thread {
      do {
        var generator = try LoadGenerator(options.settings)
        try generator.run(until: end)
        let rate = Double(generator.counts.ackedMessages * options.batch) / (options.warmUp + options.seconds)
        print(
          "visible: load of \(fixed(rate, 0)) events/s acked, ack p50 \(milliseconds(generator.counts.latency.quantile(0.5))) "
            + "p99 \(milliseconds(generator.counts.latency.quantile(0.99))) ms")
      } catch {
        print("load failed: \(error)")
      }
    }
    load.start()

    var probe = try Probe(ingestPort: options.port, queryPort: queryPort)
    var visible = LatencyHistogram(), acked = LatencyHistogram()
    let measured = monotonicNow() + UInt64(options.warmUp * 1e9)
    while monotonicNow() < end {
      let (ack, answer) = try probe.run(view: view, query: query)
      if monotonicNow() >= measured {
        acked.record(nanoseconds: ack)
        visible.record(nanoseconds: answer)
      }
      usleep(UInt32(every * 1000))
    }
    while !load.isFinished { usleep(1000) }
    print(
      "visible  \(visible.count) probes  send to answer p50 \(milliseconds(visible.quantile(0.5))) "
        + "p99 \(milliseconds(visible.quantile(0.99))) "
        + "max \(milliseconds(visible.max)) ms  of it send to ack p50 \(milliseconds(acked.quantile(0.5))) "
        + "p99 \(milliseconds(acked.quantile(0.99))) ms")
  }
}

/// One device and one analyst, blocking.
private struct Probe: ~Copyable {
  private let device: Int32
  private let analyst: BlockingHTTP
  private var received: [UInt8]
  private var sequence = UInt64(wallMilliseconds()) * 1000

  init(ingestPort: Int, queryPort: Int) throws {
    let (socket, rest) = try RawWebSocket.connect(port: ingestPort, path: "/v1/stream")
    analyst = try BlockingHTTP(port: queryPort)
    (device, received) = (socket, rest)
  }

  /// - Returns: Nanoseconds from the send to the acknowledgement, and to the answer that counts the event.
  mutating func run(view: String, query: String) throws -> (ack: UInt64, answer: UInt64) {
    sequence += 1
    let template = EventTemplate(
      batch: 1, sequence: sequence, source: 9_999_999, time: EventTemplate.timeText(milliseconds: wallMilliseconds()),
      maskKey: [1, 2, 3, 4])
    let start = monotonicNow()
    try RawWebSocket.writeAll(device, template.frame)
    let offsets = try offsetsOfAck()
    let acked = monotonicNow()
    let escaped = offsets.addingPercentEncoding(withAllowedCharacters: .alphanumerics) ?? offsets
    _ = try analyst.get("/v1/views/\(view)?\(query)&after=\(escaped)")
    return (acked - start, monotonicNow() - start)
  }

  private mutating func offsetsOfAck() throws -> String {
    while true {
      let found = try received.withUnsafeBytes { bytes -> (text: String, used: Int)? in
        guard let (opcode, payload) = RawWebSocket.frame(bytes, at: 0) else { return nil }
        let text = UnsafeRawBufferPointer(rebasing: bytes[payload])
        switch opcode {
        case 1: return (String(decoding: text, as: UTF8.self), payload.upperBound)
        case 9:
          try RawWebSocket.writeAll(device, RawWebSocket.pong(text))
          return ("", payload.upperBound)
        default: throw BenchError("the server closed the probe's connection")
        }
      }
      guard let found else {
        received += try RawWebSocket.readSome(device)
        continue
      }
      received.removeFirst(found.used)
      if found.text.hasPrefix(#"{"kind":"reject""#) { throw BenchError("rejected: \(found.text)") }
      if let range = found.text.range(of: #""offsets":"#) { return String(found.text[range.upperBound...].dropLast()) }
    }
  }
}
