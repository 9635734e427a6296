/// The tails of a block's rows, one after the other: each word as its difference (by exclusive or) from the word two before it in
/// its row, 0 where there is none; a byte that says which of the difference's bytes are not zero, least significant first, then
/// these. Two before, since samples are pairs of a time and a value.
enum RunTails {
  /// Bytes that a word takes at most.
  static let wordBytesMax = 9

  /// Appends a row's tail.
  static func encode(_ words: UnsafeBufferPointer<UInt64>, to bytes: inout [UInt8]) {
    let start = bytes.count
    bytes.append(contentsOf: repeatElement(0, count: words.count * wordBytesMax))
    let end = bytes.withUnsafeMutableBufferPointer { bytes in
      var at = start
      for index in words.indices {
        let word = index < 2 ? words[index] : words[index] ^ words[index - 2]
        let place = at
        var mask: UInt8 = 0
        at &+= 1
        // Every byte is written, and the next one in its place if it is 0: which are cannot be foreseen.
        for number in 0..<8 {
          let byte = UInt8(truncatingIfNeeded: word &>> UInt64(8 &* number))
          let isKept: UInt8 = byte == 0 ? 0 : 1
          bytes[at] = byte
          mask |= isKept &<< UInt8(number)
          at &+= Int(isKept)
        }
        bytes[place] = mask
      }
      return at
    }
    bytes.removeLast(bytes.count - end)
  }

  /// Reads a row's tail.
  /// - Parameters:
  ///   - bytes: Where it begins; set to its end.
  ///   - end: The end of all tails. Eight bytes behind it may be read, too.
  ///   - words: The place of the tail's words.
  ///   - count: Their number.
  /// - Returns: False when the bytes end before.
  static func decode(
    _ bytes: inout UnsafeRawPointer, end: UnsafeRawPointer, _ words: UnsafeMutablePointer<UInt64>, _ count: Int
  ) -> Bool {
    for index in 0..<count {
      guard bytes < end else { return false }
      let mask = UInt64(bytes.load(as: UInt8.self))
      bytes += 1
      var word = index < 2 ? 0 : words[index - 2]
      for number in 0..<8 {
        let isThere = mask &>> UInt64(number) & 1
        word ^= (UInt64(bytes.load(as: UInt8.self)) & (0 &- isThere)) &<< UInt64(8 &* number)
        bytes += Int(truncatingIfNeeded: isThere)
      }
      words[index] = word
    }
    return bytes <= end
  }
}
