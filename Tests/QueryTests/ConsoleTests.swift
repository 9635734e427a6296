import Events
import NIOCore
import NIOHTTP1
import Serving
import Testing

@testable import Query

@Suite struct ConsoleTests {
  private func bytes(_ answer: HTTPAnswer) -> [UInt8] {
    guard case .bytes(let bytes) = answer.body else { return [] }
    return Array(bytes.readableBytesView)
  }

  private func header(_ answer: HTTPAnswer, _ name: String) -> String? { answer.headers.first { $0.name == name }?.value }

  @Test("whatever a file of the console names is a file of the console")
  func references() throws {
    let files = ["index.html": ConsoleFile.index].merging(ConsoleFile.parts) { $1 }
    var seen = 0
    for (name, file) in files {
      let text = String(decoding: file.bytes, as: UTF8.self)
      for match in text.matches(of: #/(?:"\/console\/|from "\.\/)([a-z]+\.[a-z]+)"/#) {
        seen += 1
        #expect(ConsoleFile.parts[String(match.1)] != nil, "\(name) names \(match.1)")
      }
      #expect(!text.contains("innerHTML"), "\(name): text from the log must not become HTML")
      #expect(text.firstRange(of: "://") == nil || name == "icon.svg", "\(name) must load nothing from elsewhere")
    }
    #expect(seen > 20)
  }

  @Test("the console is under 100 KB, before compression")
  func size() {
    #expect(ConsoleFile.parts.values.reduce(ConsoleFile.index.bytes.count) { $0 + $1.bytes.count } < 100_000)
  }

  @Test("a browser that has the page is told so, and gets it compressed otherwise")
  func caching() throws {
    let plain = ConsoleAnswers.page([:])
    #expect(plain.status == 200 && header(plain, "Content-Encoding") == nil)
    #expect(header(plain, "Content-Security-Policy")?.hasPrefix("default-src 'none'") == true)
    let etag = try #require(header(plain, "ETag"))
    for known in [etag, "W/\(etag)", "\"other\", \(etag)", "*"] {
      let answer = ConsoleAnswers.page(["If-None-Match": known])
      #expect(answer.status == 304 && bytes(answer).isEmpty, "\(known)")
    }
    #expect(ConsoleAnswers.page(["If-None-Match": "\"other\""]).status == 200)
    let zipped = ConsoleAnswers.page(["Accept-Encoding": "br, gzip;q=0.8"])
    #expect(header(zipped, "Content-Encoding") == "gzip" && bytes(zipped).starts(with: [0x1F, 0x8B]))
    for refused in ["gzip;q=0", "br", "gzip; q=0.0"] {
      #expect(header(ConsoleAnswers.page(["Accept-Encoding": refused]), "Content-Encoding") == nil, "\(refused)")
    }
  }

  @Test("a part that is not there is 404")
  func missing() {
    #expect(throws: QueryFailure.self) { try ConsoleAnswers.part("nothing.js", [:]) }
  }
}
