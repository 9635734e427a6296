/// Text in the form of SQLite's functions: bytes, of which a character is one byte and the continuation bytes after it.
enum SQLBytes {
  private static func isContinuation(_ byte: UInt8) -> Bool { byte & 0xC0 == 0x80 }

  static func characterCount(_ bytes: [UInt8]) -> Int { characters(bytes).count }

  /// Code points, up to the first NUL, as SQLite reads them: bytes that are not UTF-8 give some number.
  static func characters(_ bytes: [UInt8]) -> [UInt32] {
    var result: [UInt32] = []
    result.reserveCapacity(bytes.count)
    var at = 0
    while at < bytes.count, bytes[at] != 0 {
      var character = UInt32(bytes[at])
      at += 1
      if character >= 0xC0 {
        character = character < 0xE0 ? character & 0x1F : character < 0xF0 ? character & 0x0F : character & 0x07
        while at < bytes.count, isContinuation(bytes[at]) {
          character = character << 6 | UInt32(bytes[at] & 0x3F)
          at += 1
        }
      }
      result.append(character)
    }
    return result
  }

  /// The position of `wanted`, from 1 on; 0 for none.
  /// - Parameter isText: Whether positions count characters, else bytes.
  static func place(of wanted: [UInt8], in bytes: [UInt8], isText: Bool) -> Int {
    guard !wanted.isEmpty else { return 1 }
    let search = SQLSearch(wanted)
    var start = 0
    while let found = search.place(in: bytes, from: start) {
      guard isText else { return found + 1 }
      // Where a character begins; the first byte does.
      if found == 0 || !isContinuation(bytes[found]) {
        return 1 + bytes[..<(found + 1)].dropFirst().count { !isContinuation($0) }
      }
      start = found + 1
    }
    return 0
  }

  /// - Parameter bytesMax: Nil is returned for a longer result.
  static func replacing(_ wanted: [UInt8], with other: [UInt8], in bytes: [UInt8], bytesMax: Int) -> [UInt8]? {
    var result: [UInt8] = []
    result.reserveCapacity(bytes.count)
    let search = SQLSearch(wanted)
    var start = 0
    while let found = search.place(in: bytes, from: start) {
      result.append(contentsOf: bytes[start..<found])
      result.append(contentsOf: other)
      start = found + wanted.count
      guard result.count <= bytesMax else { return nil }
    }
    result.append(contentsOf: bytes[start...])
    return result.count <= bytesMax ? result : nil
  }

  /// The text without any of the characters at its ends.
  static func trimming(_ characters: [UInt8], from bytes: [UInt8], start: Bool, end: Bool) -> ArraySlice<UInt8> {
    func split(_ bytes: [UInt8]) -> [Range<Int>] {
      var ranges: [Range<Int>] = []
      var at = 0
      while at < bytes.count {
        var next = at + 1
        if bytes[at] >= 0xC0 { while next < bytes.count, isContinuation(bytes[next]) { next += 1 } }
        ranges.append(at..<next)
        at = next
      }
      return ranges
    }
    let unwanted = Set(split(characters).map { characters[$0] })
    var kept = split(bytes)[...]
    if start { kept = kept.drop { unwanted.contains(bytes[$0]) } }
    if end { while let last = kept.last, unwanted.contains(bytes[last]) { kept.removeLast() } }
    guard let first = kept.first, let last = kept.last else { return [] }
    return bytes[first.lowerBound..<last.upperBound]
  }

  /// The number of characters that all `%c` would write, since `printf` takes as many steps.
  /// - Parameter arguments: As whole numbers.
  static func repetitions(inFormat bytes: [UInt8], _ arguments: [Int64]) -> Int64 {
    var total: Int64 = 0
    var at = 0
    var argument = 0
    func next() -> Int64 {
      defer { argument += 1 }
      return argument < arguments.count ? arguments[argument] : 0
    }
    while at < bytes.count {
      guard bytes[at] == 0x25 else {
        at += 1
        continue
      }
      at += 1
      while at < bytes.count, Array("-+ #0,!".utf8).contains(bytes[at]) { at += 1 }
      var number: Int64 = 0
      func read() {
        number = 0
        if at < bytes.count, bytes[at] == 0x2A {
          at += 1
          number = next()
        } else {
          while at < bytes.count, case let digit = Int64(bytes[at]) - 0x30, (0...9).contains(digit) {
            number = min(number, Int64(Int32.max)) * 10 + digit
            at += 1
          }
        }
      }
      read()
      if at < bytes.count, bytes[at] == 0x2E {
        at += 1
        read()
      } else {
        number = 0
      }
      while at < bytes.count, bytes[at] == 0x6C { at += 1 }
      guard at < bytes.count else { break }
      // SQLite cuts a precision that is negative, or beyond 32 bits, to one of these: whichever it is, not more than all of them.
      if bytes[at] == 0x63 {
        total += min(number.magnitude > UInt64(Int32.max) ? Int64(Int32.max) : abs(number), Int64(Int32.max))
      }
      if bytes[at] != 0x25 { _ = next() }
      at += 1
    }
    return total
  }
}

/// Searches for bytes in bytes, in time that grows with both but not with their product.
///
/// Source: D. Knuth, J. Morris, V. Pratt, "Fast pattern matching in strings", 1977.
private struct SQLSearch {
  private let wanted: [UInt8]
  /// For each prefix of `wanted`, the length of its longest suffix that is a prefix, too.
  private let borders: [Int]

  init(_ wanted: [UInt8]) {
    self.wanted = wanted
    var borders = Array(repeating: 0, count: wanted.count)
    var length = 0
    for index in wanted.indices.dropFirst() {
      while length > 0, wanted[index] != wanted[length] { length = borders[length - 1] }
      if wanted[index] == wanted[length] { length += 1 }
      borders[index] = length
    }
    self.borders = borders
  }

  /// The first position at or after `start`.
  func place(in bytes: [UInt8], from start: Int) -> Int? {
    var length = 0
    for index in start..<max(bytes.count, start) {
      while length > 0, bytes[index] != wanted[length] { length = borders[length - 1] }
      if bytes[index] == wanted[length] { length += 1 }
      if length == wanted.count { return index + 1 - length }
    }
    return nil
  }
}
