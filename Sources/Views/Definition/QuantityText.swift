/// The fault of a duration's or a size's text.
public struct QuantityError: Error, Sendable, Hashable, CustomStringConvertible {
  public let detail: String
  public var description: String { detail }
}

/// Durations in the form of configuration and views: `500ms`, `5s`, `1h30m`, `7d`; in nanoseconds.
public enum DurationText {
  private static let units: [(name: String, nanoseconds: Int64)] = [
    ("d", 86_400_000_000_000), ("h", 3_600_000_000_000), ("m", 60_000_000_000), ("s", 1_000_000_000), ("ms", 1_000_000),
    ("us", 1000), ("ns", 1),
  ]

  /// Reads one or more whole numbers, each with its unit (d h m s ms us ns), from the larger units to the smaller.
  /// - Returns: Nanoseconds, 0 or more.
  public static func parse(_ text: String) throws(QuantityError) -> Int64 {
    let failure = QuantityError(detail: "expected a duration such as 500ms, 5s, 1h30m or 7d, found '\(text.prefix(40))'")
    var rest = text.utf8[...]
    var total: Int64 = 0
    var unitsLeft = units[...]
    guard !rest.isEmpty else { throw failure }
    while !rest.isEmpty {
      let digits = rest.prefix { (0x30...0x39).contains($0) }
      rest = rest[digits.endIndex...]
      let letters = rest.prefix { (0x61...0x7A).contains($0) }
      rest = rest[letters.endIndex...]
      guard let count = Int64(String(digits) ?? ""), let unit = unitsLeft.firstIndex(where: { $0.name == String(letters) }) else {
        throw failure
      }
      let (scaled, overflow) = count.multipliedReportingOverflow(by: units[unit].nanoseconds)
      let (sum, overflowAgain) = total.addingReportingOverflow(scaled)
      guard !overflow, !overflowAgain else {
        throw QuantityError(detail: "the duration '\(text.prefix(40))' is beyond 292 years")
      }
      total = sum
      unitsLeft = units[(unit + 1)...]
    }
    return total
  }

  /// The shortest text `parse` reads back as the same: `1h30m`; `0s` for nothing.
  /// - Parameter nanoseconds: 0 or more.
  public static func text(_ nanoseconds: Int64) -> String {
    precondition(nanoseconds >= 0, "durations are not negative")
    var rest = nanoseconds
    var text = ""
    for unit in units where rest >= unit.nanoseconds {
      text += "\(rest / unit.nanoseconds)\(unit.name)"
      rest %= unit.nanoseconds
    }
    return text.isEmpty ? "0s" : text
  }
}

/// Sizes in the form of configuration: `512B`, `64KiB`, `1MiB`, `2GiB`, `1TiB`, also the decimal `kB MB GB TB`; in bytes.
public enum ByteSizeText {
  private static let units: [(name: String, bytes: Int)] = [
    ("TiB", 1 << 40), ("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10), ("TB", 1_000_000_000_000), ("GB", 1_000_000_000),
    ("MB", 1_000_000), ("kB", 1000), ("B", 1),
  ]

  /// Reads a whole number with its unit; a bare number is an error, since nobody can tell what it counts.
  public static func parse(_ text: String) throws(QuantityError) -> Int {
    let digits = text.prefix { $0.isASCII && $0.isNumber }
    let name = text[digits.endIndex...]
    guard let count = Int(digits), let unit = units.first(where: { $0.name == name }) else {
      throw QuantityError(detail: "expected a size such as 512B, 64KiB or 1MiB, found '\(text.prefix(40))'")
    }
    let (bytes, overflow) = count.multipliedReportingOverflow(by: unit.bytes)
    guard !overflow else { throw QuantityError(detail: "the size '\(text.prefix(40))' is beyond 8 EiB") }
    return bytes
  }

  /// The text in the largest binary unit that divides it: `64KiB`.
  public static func text(_ bytes: Int) -> String {
    for unit in units.prefix(4) where bytes != 0 && bytes % unit.bytes == 0 { return "\(bytes / unit.bytes)\(unit.name)" }
    return "\(bytes)B"
  }
}
