import Views

// Durations and sizes read the same in views and in the configuration: Views holds the grammar.

/// A number of bytes in the settings' form: `64KiB`, `1MiB`, `4GiB`, or a plain number of bytes.
struct ByteCount: Hashable, Comparable, Sendable, CustomStringConvertible {
  let bytes: Int

  init(_ bytes: Int) { self.bytes = bytes }

  static func kibibytes(_ count: Int) -> ByteCount { ByteCount(count << 10) }
  static func mebibytes(_ count: Int) -> ByteCount { ByteCount(count << 20) }
  static func gibibytes(_ count: Int) -> ByteCount { ByteCount(count << 30) }
  static func tebibytes(_ count: Int) -> ByteCount { ByteCount(count << 40) }

  static func < (a: Self, b: Self) -> Bool { a.bytes < b.bytes }

  /// In the largest unit that divides it: the form that `init(parsing:)` reads back.
  var description: String { ByteSizeText.text(bytes) }

  /// Nil unless `text` is a size, and fits 63 bits. A bare number counts bytes: a key's name says that it is a size.
  init?(parsing text: String) {
    let isPlain = !text.isEmpty && text.utf8.allSatisfy { (48...57).contains($0) }
    guard let bytes = isPlain ? Int(text) : try? ByteSizeText.parse(text) else { return nil }
    self.init(bytes)
  }
}

extension Duration {
  /// Reads `500ms`, `5s`, `1h30m`, `7d`. Nil for anything else, and for more than 292 years.
  init?(settingText text: String) {
    guard let nanoseconds = try? DurationText.parse(text) else { return nil }
    self = .nanoseconds(nanoseconds)
  }

  /// The text that `init(settingText:)` reads back; fractions of a nanosecond are cut.
  /// - Precondition: Not negative, at most 292 years.
  var settingText: String {
    let (seconds, attoseconds) = components
    return DurationText.text(seconds * 1_000_000_000 + attoseconds / 1_000_000_000)
  }
}
