import Events
import TestSupport
import Testing

@Suite("A timestamp")
struct TimestampTests {
  @Test(
    "is read from RFC 3339 and written in UTC",
    arguments: [
      ("2013-01-01T06:00:00Z", "2013-01-01T06:00:00Z"), ("2013-01-01t06:00:00z", "2013-01-01T06:00:00Z"),
      ("2013-01-01T06:00:00+05:30", "2013-01-01T00:30:00Z"), ("2012-12-31T23:59:60Z", "2013-01-01T00:00:00Z"),
      ("1969-12-31T23:59:59.5Z", "1969-12-31T23:59:59.500Z"),
      ("2024-02-29T00:00:00.123456789Z", "2024-02-29T00:00:00.123456789Z"),
      ("2262-04-11T23:47:16.854775807Z", "2262-04-11T23:47:16.854775807Z"), ("1677-09-22T00:00:00Z", "1677-09-22T00:00:00Z"),
      ("1677-09-21T00:12:43.145224192Z", "1677-09-21T00:12:43.145224192Z"),
      ("2013-01-01T00:00:00.1234567891Z", "2013-01-01T00:00:00.123456789Z"),
      ("2013-01-01T00:00:00.000100Z", "2013-01-01T00:00:00.000100Z"),
    ])
  func reads(text: String, written: String) {
    #expect(Timestamp(rfc3339: text)?.description == written)
  }

  @Test(
    "is none when the text is not RFC 3339 or beyond its range",
    arguments: [
      "", "2013", "2013-01-01", "2013-01-01T06:00:00", "2013-13-01T00:00:00Z", "2013-00-01T00:00:00Z", "2013-04-31T00:00:00Z",
      "2013-01-01T24:00:00Z", "2013-01-01T00:60:00Z", "2013-01-01T00:00:61Z", "2013-01-01T00:00:00.Z", "2013-01-01T00:00:00+5:30",
      "2013-01-01T00:00:00Zx", "2263-01-01T00:00:00Z", "0001-01-01T00:00:00Z", "2O13-01-01T00:00:00Z", "2023-02-29T00:00:00Z",
    ])
  func refuses(text: String) {
    #expect(Timestamp(rfc3339: text) == nil)
  }

  @Test("survives being written and read, whatever it is", arguments: 0..<50)
  func roundTrip(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    let time = Timestamp(nanoseconds: Int64.random(in: .min ... .max, using: &random))
    #expect(Timestamp(rfc3339: time.description) == time, "seed \(seed)")
  }
}
