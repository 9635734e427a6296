import Events
import NIOHTTP1
import Testing

@testable import Ingest

@Suite("Binary mode of the CloudEvents HTTP binding")
struct EventsRequestTests {
  @Test(
    "a header's value loses its quotes and escapes, and then its percent encodings",
    arguments: [
      (#"plain"#, "plain"), (#""quoted value""#, "quoted value"), (#""with \"quotes\" and \\""#, #"with "quotes" and \"#),
      (#""Euro%20%E2%82%AC""#, "Euro €"), (#"Euro%20%E2%82%AC"#, "Euro €"), (#""%22""#, "\""), (#""""#, ""),
      // None of these is a quoted string.
      (#"""#, #"""#), (#""open"#, #""open"#), (#""a" and "b""#, #""a" and "b""#), (#""open\""#, #""open\""#), (#"a"b"#, #"a"b"#),
    ])
  func values(header: String, value: String) throws {
    let head = HTTPRequestHead(
      version: .http1_1, method: .POST, uri: "/v1/events", headers: ["ce-type": "t", "ce-subject": header])
    let text = try EventsRequest.structured(head, contentType: nil, body: UnsafeRawBufferPointer(start: nil, count: 0))
    #expect(try JSONValue(parsing: text)["subject"] == .string(value))
  }
}
