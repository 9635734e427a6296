import NIOHTTP1
import Serving

/// Answers `GET /` and `GET /console/{file}`: the console, whole within the executable.
enum ConsoleAnswers {
  /// The page loads only files of this service, and no page may frame it.
  static let securityPolicy =
    "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; "
    + "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"

  static func page(_ headers: HTTPHeaders) -> HTTPAnswer { answer(ConsoleFile.index, headers) }

  static func part(_ name: String, _ headers: HTTPHeaders) throws(QueryFailure) -> HTTPAnswer {
    guard let file = ConsoleFile.parts[name] else { throw .notFound("/console/\(name.prefix(64))") }
    return answer(file, headers)
  }

  private static func answer(_ file: ConsoleFile, _ headers: HTTPHeaders) -> HTTPAnswer {
    let isKnown = headers.joined("If-None-Match").map { isNamed(file.etag, in: $0) } ?? false
    let isZipped = !file.gzip.isEmpty && (headers.joined("Accept-Encoding").map(takesGzip) ?? false)
    var answer = HTTPAnswer(isKnown ? 304 : 200, file.contentType, isKnown ? [] : isZipped ? file.gzip : file.bytes)
    answer.headers = [
      ("ETag", file.etag),
      // The browser asks each time, and mostly learns that nothing has changed: a new executable shows at once.
      ("Cache-Control", "no-cache"),
      ("Vary", "Accept-Encoding"),
      ("Content-Security-Policy", securityPolicy),
      ("X-Content-Type-Options", "nosniff"),
      ("Referrer-Policy", "no-referrer"),
    ]
    if isZipped, !isKnown { answer.headers.append(("Content-Encoding", "gzip")) }
    return answer
  }

  private static func isNamed(_ etag: String, in list: String) -> Bool {
    list.split(separator: ",").contains { one in
      let tag = one.drop { $0 == " " || $0 == "\t" }
      return tag == "*" || tag == etag || tag == "W/" + etag
    }
  }

  /// `gzip`, `gzip;q=0.5` or `*`, but not `gzip;q=0`.
  private static func takesGzip(_ list: String) -> Bool {
    list.split(separator: ",").contains { one in
      let words = one.split(separator: ";").map { $0.filter { $0 != " " && $0 != "\t" }.lowercased() }
      guard let coding = words.first, coding == "gzip" || coding == "*" else { return false }
      return !words.dropFirst().contains { $0.hasPrefix("q=0") && Double($0.dropFirst(2)) == 0 }
    }
  }
}
