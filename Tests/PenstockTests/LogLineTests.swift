import Foundation
import Logging
import Testing

@testable import Penstock

@Suite struct LogLineTests {
  private let time = Date(timeIntervalSince1970: 1_356_998_400.25)

  private func handler(_ format: LogFormat) -> LineLogHandler {
    LineLogHandler(label: "log", level: .info, format: format) { _ in }
  }

  @Test("a JSON line is one object whose metadata keep their types")
  func json() throws {
    let line = handler(.json).line(
      at: time, level: .warning, message: "cut \"x\"\n",
      metadata: ["partition": "3", "bytes": .stringConvertible(128), "level": "mine", "list": ["a", .dictionary(["b": "c"])]])
    #expect(
      line
        == #"{"time":"2013-01-01T00:00:00.250Z","level":"warning","logger":"log","message":"cut \"x\"\n","#
        + #""bytes":128,"metadata.level":"mine","list":["a",{"b":"c"}],"partition":"3"}"#
    )
  }

  @Test("a module may have a level of its own")
  func levels() throws {
    let levels = try LogLevels(parsing: "Warning,ingest=debug,log=trace")
    #expect(levels.level(of: "penstock", default: .info) == .warning)
    #expect(levels.level(of: "penstock.ingest", default: .info) == .debug)
    #expect(levels.level(of: "penstock.log.stored", default: .info) == .trace)
    #expect(try LogLevels(parsing: "query=error").level(of: "penstock.ingest", default: .notice) == .notice)
  }

  @Test(
    "levels that cannot be are refused",
    arguments: ["", "loud", "info,debug", "ingest=loud", "ingest=debug,ingest=info", "ingests=debug", "a=b=info", "info,"])
  func badLevels(_ text: String) {
    #expect(throws: LogLevelsError.self) { try LogLevels(parsing: text) }
  }

  @Test("a text line stays one line, whatever a device put into it")
  func text() {
    let line = handler(.text).line(
      at: time, level: .error, message: "bad\nsource\u{1B}[2J", metadata: ["source": "a b", "n": "1", "e": ""])
    #expect(line == #"00:00:00.250 error    log: bad\nsource\u{1b}[2J  e="" n=1 source="a b""#)
  }
}
