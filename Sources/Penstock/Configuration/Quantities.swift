/// A number of bytes, as settings write it: `64KiB`, `1MiB`, `4GiB`, or a plain number of bytes.
struct ByteCount: Hashable, Comparable, Sendable, CustomStringConvertible {
  let bytes: Int

  init(_ bytes: Int) { self.bytes = bytes }

  static func kibibytes(_ count: Int) -> ByteCount { ByteCount(count << 10) }
  static func mebibytes(_ count: Int) -> ByteCount { ByteCount(count << 20) }
  static func gibibytes(_ count: Int) -> ByteCount { ByteCount(count << 30) }
  static func tebibytes(_ count: Int) -> ByteCount { ByteCount(count << 40) }

  static func < (a: Self, b: Self) -> Bool { a.bytes < b.bytes }

  private static let units: [(suffix: String, shift: Int)] = [("TiB", 40), ("GiB", 30), ("MiB", 20), ("KiB", 10)]

  /// In the largest unit that divides it: what `init(parsing:)` reads back.
  var description: String {
    for (suffix, shift) in Self.units where bytes != 0 && bytes & ((1 << shift) - 1) == 0 {
      return "\(bytes >> shift)\(suffix)"
    }
    return "\(bytes)B"
  }

  /// Nil unless `text` is digits and, at most, one of `B KiB MiB GiB TiB`, and the product fits 63 bits.
  init?(parsing text: String) {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    guard let count = Int(digits) else { return nil }
    let suffix = text.dropFirst(digits.count)
    if suffix.isEmpty || suffix == "B" {
      self.init(count)
      return
    }
    guard let unit = Self.units.first(where: { $0.suffix == suffix }) else { return nil }
    let (bytes, overflow) = count.multipliedReportingOverflow(by: 1 << unit.shift)
    guard !overflow else { return nil }
    self.init(bytes)
  }
}

extension Duration {
  private static let textUnits: [(suffix: String, nanoseconds: Int64)] = [
    ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000),
    ("ms", 1_000_000), ("us", 1_000), ("ns", 1),
  ]

  /// Reads `500ms`, `5s`, `1h30m`, `7d`: whole numbers with units `d h m s ms us ns`, each at most once, largest first.
  /// Nil for anything else, and for more than 292 years.
  init?(settingText text: String) {
    var rest = text[...]
    var total: Int64 = 0
    var nextUnit = 0
    while !rest.isEmpty {
      let digits = rest.prefix { $0.isASCII && $0.isNumber }
      rest = rest.dropFirst(digits.count)
      let suffix = rest.prefix { $0.isASCII && $0.isLetter }
      rest = rest.dropFirst(suffix.count)
      guard let count = Int64(digits),
        let unit = Self.textUnits[nextUnit...].firstIndex(where: { $0.suffix == suffix })
      else { return nil }
      let (part, tooLong) = count.multipliedReportingOverflow(by: Self.textUnits[unit].nanoseconds)
      let (sum, tooLongTogether) = total.addingReportingOverflow(part)
      guard !tooLong, !tooLongTogether else { return nil }
      total = sum
      nextUnit = unit + 1
    }
    guard nextUnit > 0 else { return nil }
    self = .nanoseconds(total)
  }

  /// As `init(settingText:)` reads it back; below a nanosecond is cut.
  var settingText: String {
    let (seconds, attoseconds) = components
    var rest = seconds * 1_000_000_000 + attoseconds / 1_000_000_000
    guard rest != 0 else { return "0s" }
    var text = ""
    for (suffix, nanoseconds) in Self.textUnits where rest >= nanoseconds {
      text += "\(rest / nanoseconds)\(suffix)"
      rest %= nanoseconds
    }
    return text
  }
}
