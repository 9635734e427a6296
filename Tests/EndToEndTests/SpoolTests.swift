import Foundation
import Logging
import NIOPosix
import Testing

@testable import PenstockClient

@Suite("A device's spool")
struct SpoolTests {
  private struct Stored: Decodable {
    var sequence: UInt64
  }

  private let source = "spool/cafe\u{301}"

  private func message(_ sequences: Range<UInt64>) -> DeviceMessage {
    var message = DeviceMessage()
    for sequence in sequences {
      let event =
        #"{"source":"\#(source)","type":"test.reading","time":"2024-05-01T12:00:00Z","sequence":\#(sequence),"data":{}}"#
      Array(event.utf8).withUnsafeBytes { message.append($0, line: Int(sequence)) }
    }
    return message
  }

  private func client(_ port: Int, _ spool: DeviceSpool) -> DeviceClient {
    var configuration = DeviceClientConfiguration(port: port, seed: 7)
    configuration.spool = spool
    configuration.unackedMessagesMax = 4
    return DeviceClient(configuration, eventLoop: MultiThreadedEventLoopGroup.singleton.next(), logger: Logger(label: "spool"))
  }

  /// The file as a crash at this moment leaves it.
  private func crashed(_ path: String) throws -> String {
    for suffix in ["", "-wal"] { try FileManager.default.copyItem(atPath: path + suffix, toPath: path + ".crashed" + suffix) }
    return path + ".crashed"
  }

  @Test("after a crash, what was not acknowledged is sent under the sequences it had, and the count goes on")
  func crash() async throws {
    let penstock = try PenstockProcess(views: Weather.views)
    try await penstock.start()
    let path = penstock.folder.appendingPathComponent("device.spool").path
    let port = await penstock.ingestPort

    var spool = try DeviceSpool(path: path)
    #expect(spool.nextSequence(of: source) == nil)
    var device = client(port, spool)
    device.start()
    // As many as are answered for leave the spool; the later ones are in it, some of them on their way.
    for start in stride(from: UInt64(1), to: 401, by: 10) { try await device.send(message(start..<start + 10)) }
    let copy = try crashed(path)
    device.cancel()

    spool = try DeviceSpool(path: copy)
    #expect(spool.nextSequence(of: source) == 401)
    #expect(spool.nextSequence(of: "spool/caf\u{e9}") == nil, "another source, though Unicode holds the two for the same text")
    let left = spool.left.count
    device = client(port, spool)
    device.start()
    try await device.send(message(401..<411))
    let totals = try await device.finish()
    #expect(totals.sent == left + 10)
    #expect(totals.appended + totals.duplicates == totals.sent && totals.rejected == 0)

    let api = QueryAPI(port: await penstock.queryPort)
    let events = try await api.all(Stored.self, "/v1/events", [("source", source), ("limit", "10000")])
    #expect(events.map(\.sequence) == Array(1...410))
    #expect(try await penstock.terminate() == 0)
  }

  @Test("one that is in use, of another format or no spool at all is refused, with its path")
  func refused() throws {
    let folder = FileManager.default.temporaryDirectory.appendingPathComponent("penstock-test-\(UUID().uuidString)")
    try FileManager.default.createDirectory(at: folder, withIntermediateDirectories: true)
    defer { #expect(throws: Never.self) { try FileManager.default.removeItem(at: folder) } }
    let path = folder.appendingPathComponent("spool").path
    do {
      let spool = try DeviceSpool(path: path)
      let second = #expect(throws: DeviceClientError.self) { try DeviceSpool(path: path) }
      #expect(second?.detail.contains("in use") == true && second?.detail.contains(path) == true)
      withExtendedLifetime(spool) {}
    }
    try Data(repeating: 0x55, count: 8192).write(to: URL(fileURLWithPath: path))
    let damaged = #expect(throws: DeviceClientError.self) { try DeviceSpool(path: path) }
    #expect(damaged?.code == .spool && damaged?.detail.contains(path) == true)
  }
}
