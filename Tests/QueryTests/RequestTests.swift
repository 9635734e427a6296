import Events
import NIOCore
import NIOHTTP1
import Serving
import Testing

@testable import Query

@Test("a sender's request id comes back, where it is one; every error has an id")
func requestIDs() async throws {
  let given = await Asking().raw("/x", headers: ["X-Request-Id": "abc-1"])
  #expect(try given.string("request_id") == "abc-1")
  for bad in ["", "a b", String(repeating: "x", count: 129)] {
    let id = try await Asking().raw("/x", headers: ["X-Request-Id": bad]).string("request_id")
    #expect(id?.utf8.count == 16, "\(bad)")
  }
}

@Test("a body is of the right type, and JSON, or its sender is told which it was not")
func bodies() {
  func json(_ body: String, _ headers: HTTPHeaders = [:]) -> String {
    let request = HTTPRequest(.POST, "/", headers: headers, body: ByteBuffer(string: body))
    do throws(QueryFailure) { return try request.json().text } catch { return error.problem.code }
  }
  #expect(json(#"{"a":1}"#) == #"{"a":1}"#)
  #expect(json("1", ["Content-Type": "Application/JSON; charset=utf-8"]) == "1")
  #expect(json("1", ["Content-Type": "text/plain"]) == "unsupported_media_type")
  #expect(json("1", ["Content-Type": "application/json", "Content-Encoding": "gzip"]) == "unsupported_media_type")
  #expect(json("{") == "invalid_json")
}
