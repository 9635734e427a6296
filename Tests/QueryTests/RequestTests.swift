import Events
import NIOHTTP1
import Testing

@testable import Query

@Test("a target is cut into path and query at the first question mark, and a fragment is no part of either")
func targets() {
  for (target, path, query) in [
    ("/v1/views?a=1", "/v1/views", "a=1"), ("/x", "/x", ""), ("/x?", "/x", ""), ("/x#y?z", "/x", ""),
    ("/x?a?b=#c", "/x", "a?b=#c"),
    ("", "", ""),
  ] {
    let request = QueryRequest(.GET, target)
    #expect(request.path == path, "\(target)")
    #expect(request.query == query, "\(target)")
  }
}

@Test("a sender's request id comes back, where it is one; every error has an id")
func requestIDs() async throws {
  let given = await Asking().raw("/x", headers: ["X-Request-Id": "abc-1"])
  #expect(try given.string("request_id") == "abc-1")
  for bad in ["", "a b", String(repeating: "x", count: 129)] {
    let id = try await Asking().raw("/x", headers: ["X-Request-Id": bad]).string("request_id")
    #expect(id?.utf8.count == 16, "\(bad)")
  }
}

@Test("a body is bounded, of the right type, and JSON, or its sender is told which it was not")
func bodies() async throws {
  func json(_ body: String, _ headers: HTTPHeaders = [:]) async -> String {
    let request = QueryRequest(.POST, "/", headers: headers, body: RequestBodyReader(bytes: Array(body.utf8)))
    do throws(QueryFailure) { return try await request.json(bytesMax: 10).text } catch { return error.problem.code }
  }
  #expect(await json(#"{"a":1}"#) == #"{"a":1}"#)
  #expect(await json("1", ["Content-Type": "Application/JSON; charset=utf-8"]) == "1")
  #expect(await json("1", ["Content-Type": "text/plain"]) == "unsupported_media_type")
  #expect(await json("1", ["Content-Type": "application/json", "Content-Encoding": "gzip"]) == "unsupported_media_type")
  #expect(await json("12345678901") == "body_too_large")
  #expect(await json("1", ["Content-Length": "11"]) == "body_too_large")
  #expect(await json("{") == "invalid_json")
}
