import Events
import NIOHTTP1
import Testing

@testable import Serving

@Test("a target is cut into path and query at the first question mark, and a fragment is no part of either")
func targets() {
  for (target, path, query) in [
    ("/v1/views?a=1", "/v1/views", "a=1"), ("/x", "/x", ""), ("/x?", "/x", ""), ("/x#y?z", "/x", ""),
    ("/x?a?b=#c", "/x", "a?b=#c"),
    ("", "", ""),
  ] {
    let request = HTTPRequest(.GET, target)
    #expect(request.path == path, "\(target)")
    #expect(request.query == query, "\(target)")
  }
}

@Test("a query's items are cut by bytes and decoded; what is no percent-encoded UTF-8 is nil, and what is empty is passed over")
func queryItems() {
  for (query, items) in [
    ("", []), ("a=1&b=2", ["a:1", "b:2"]), ("a", ["a:"]), ("a=", ["a:"]), ("=1", [":1"]), ("&&a=1&", ["a:1"]),
    ("a=b=c", ["a:b=c"]), ("a+b=c%2Bd", ["a b:c+d"]), ("%FF=1", ["nil:1"]), ("a=%zz", ["a:nil"]), ("a=1?b", ["a:1?b"]),
    ("a=\u{301}b", ["a:\u{301}b"]),
  ] {
    #expect(QueryItems(query[...]).map { "\($0.name ?? "nil"):\($0.value ?? "nil")" } == items, "\(query)")
    #expect(QueryItems(of: "/path?" + query).map { "\($0.name ?? "nil"):\($0.value ?? "nil")" } == items, "\(query)")
  }
  #expect(QueryItems(of: "/path").map(\.name) == [])
  #expect(HTTPRequest(.GET, "/x?a=1&a=2").decodedQuery == ["a": "2"])
  #expect(HTTPRequest(.GET, "/x?a=%").decodedQuery == nil)
}

@Test("dates are written as HTTP wants them")
func dates() {
  var date = DateText()
  #expect(date.text(at: Timestamp(nanoseconds: 784_111_777_500_000_000)) == "Sun, 06 Nov 1994 08:49:37 GMT")
  #expect(date.text(at: Timestamp(nanoseconds: 1_582_934_400_000_000_000)) == "Sat, 29 Feb 2020 00:00:00 GMT")
}
