/// A point in time: nanoseconds since 1970-01-01T00:00:00Z, from 1677-09-21 to 2262-04-11.
///
/// Read and written as RFC 3339. A leap second (`:60`) is read as the second after it.
public struct Timestamp: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let nanoseconds: Int64

  @inlinable public init(nanoseconds: Int64) { self.nanoseconds = nanoseconds }

  public static func < (a: Self, b: Self) -> Bool { a.nanoseconds < b.nanoseconds }

  /// The time that many nanoseconds later, in nanoseconds; the last of times where that lies beyond it.
  public func nanoseconds(plus length: Int64) -> Int64 {
    let (sum, isBeyond) = nanoseconds.addingReportingOverflow(length)
    return isBeyond ? .max : sum
  }

  /// Reads an RFC 3339 date-time with any number of fraction digits; those past the ninth are dropped.
  public init?(rfc3339 text: some StringProtocol) {
    var copy = String(text)
    guard let value = copy.withUTF8({ Timestamp.parse(UnsafeRawBufferPointer($0)) }) else { return nil }
    self = value
  }

  /// Reads an RFC 3339 date-time that fills `bytes`; nil when it is malformed, or lies outside the range.
  public static func parse(_ bytes: UnsafeRawBufferPointer) -> Timestamp? {
    let count = bytes.count
    guard count >= 20 else { return nil }
    func digits2(_ at: Int) -> Int? {
      let tens = Int(bytes[at]) &- 48, ones = Int(bytes[at &+ 1]) &- 48
      return (0...9).contains(tens) && (0...9).contains(ones) ? tens &* 10 &+ ones : nil
    }
    guard let century = digits2(0), let yearOfCentury = digits2(2), bytes[4] == 0x2D,
      let month = digits2(5), bytes[7] == 0x2D, let day = digits2(8),
      bytes[10] | 0x20 == 0x74 || bytes[10] == 0x20,
      let hour = digits2(11), bytes[13] == 0x3A, let minute = digits2(14), bytes[16] == 0x3A, let second = digits2(17)
    else { return nil }
    let year = century * 100 + yearOfCentury
    guard (1...12).contains(month), day >= 1, day <= daysInMonth(year: year, month: month),
      hour <= 23, minute <= 59, second <= 60
    else { return nil }
    var at = 19
    var fraction: Int64 = 0
    if bytes[at] == 0x2E {
      at += 1
      let start = at
      var scale: Int64 = 100_000_000
      while at < count, case let digit = Int64(bytes[at]) &- 48, (0...9).contains(digit) {
        fraction += digit * scale
        scale /= 10
        at += 1
      }
      guard at > start else { return nil }
    }
    guard at < count else { return nil }
    var offsetMinutes = 0
    switch bytes[at] {
    case 0x5A, 0x7A:
      guard at + 1 == count else { return nil }
    case 0x2B, 0x2D:
      guard at + 6 == count, let hours = digits2(at + 1), bytes[at + 3] == 0x3A, let minutes = digits2(at + 4),
        hours <= 23, minutes <= 59
      else { return nil }
      offsetMinutes = (hours * 60 + minutes) * (bytes[at] == 0x2D ? -1 : 1)
    default: return nil
    }
    let days = daysSinceEpoch(year: year, month: month, day: day)
    let seconds = Int64(days) * 86400 + Int64(hour * 3600 + (minute - offsetMinutes) * 60 + second)
    // Counted towards zero, since the first second of the range begins before the range does.
    let isBefore = seconds < 0 && fraction > 0
    let (scaled, overflow) = (isBefore ? seconds + 1 : seconds).multipliedReportingOverflow(by: 1_000_000_000)
    let (total, overflowAgain) = scaled.addingReportingOverflow(isBefore ? fraction - 1_000_000_000 : fraction)
    return overflow || overflowAgain ? nil : Timestamp(nanoseconds: total)
  }

  /// RFC 3339 in UTC: whole seconds as `2013-01-01T06:00:00Z`, else with 3, 6 or 9 fraction digits.
  public var description: String {
    let (secondsOfEpoch, fraction) = nanoseconds.flooredQuotientAndRemainder(by: 1_000_000_000)
    let (days, secondOfDay) = secondsOfEpoch.flooredQuotientAndRemainder(by: 86400)
    let (year, month, day) = Timestamp.date(daysSinceEpoch: Int(days))
    func padded(_ number: Int64, _ width: Int) -> String {
      let digits = String(number)
      return String(repeating: "0", count: max(0, width - digits.count)) + digits
    }
    var text = "\(padded(Int64(year), 4))-\(padded(Int64(month), 2))-\(padded(Int64(day), 2))T"
    text += "\(padded(secondOfDay / 3600, 2)):\(padded(secondOfDay / 60 % 60, 2)):\(padded(secondOfDay % 60, 2))"
    if fraction != 0 {
      if fraction % 1_000_000 == 0 {
        text += "." + padded(fraction / 1_000_000, 3)
      } else if fraction % 1000 == 0 {
        text += "." + padded(fraction / 1000, 6)
      } else {
        text += "." + padded(fraction, 9)
      }
    }
    return text + "Z"
  }

  static func daysInMonth(year: Int, month: Int) -> Int {
    switch month {
    case 2: year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) ? 29 : 28
    case 4, 6, 9, 11: 30
    default: 31
    }
  }

  /// Days from civil; source: Howard Hinnant, "chrono-Compatible Low-Level Date Algorithms".
  static func daysSinceEpoch(year: Int, month: Int, day: Int) -> Int {
    let y = month <= 2 ? year - 1 : year
    let era = (y >= 0 ? y : y - 399) / 400
    let yearOfEra = y - era * 400
    let dayOfYear = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1
    let dayOfEra = yearOfEra * 365 + yearOfEra / 4 - yearOfEra / 100 + dayOfYear
    return era * 146097 + dayOfEra - 719468
  }

  static func date(daysSinceEpoch days: Int) -> (year: Int, month: Int, day: Int) {
    let z = days + 719468
    let era = (z >= 0 ? z : z - 146096) / 146097
    let dayOfEra = z - era * 146097
    let yearOfEra = (dayOfEra - dayOfEra / 1460 + dayOfEra / 36524 - dayOfEra / 146096) / 365
    let dayOfYear = dayOfEra - (365 * yearOfEra + yearOfEra / 4 - yearOfEra / 100)
    let shifted = (5 * dayOfYear + 2) / 153
    let month = shifted < 10 ? shifted + 3 : shifted - 9
    return (yearOfEra + era * 400 + (month <= 2 ? 1 : 0), month, dayOfYear - (153 * shifted + 2) / 5 + 1)
  }
}

extension Int64 {
  /// Division that rounds towards minus infinity; the remainder is never negative. `divisor` is above 0.
  @inlinable public func flooredQuotientAndRemainder(by divisor: Int64) -> (quotient: Int64, remainder: Int64) {
    let (quotient, remainder) = quotientAndRemainder(dividingBy: divisor)
    return remainder < 0 ? (quotient - 1, remainder + divisor) : (quotient, remainder)
  }
}
