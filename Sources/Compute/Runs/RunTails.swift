/// The tails of a block's rows, one after the other: each word as its difference (by exclusive or) from the word two before it in
/// its row, 0 where there is none; a byte that says which of the difference's bytes are not zero, least significant first, then
/// these. Two before, since samples are pairs of a time and a value.
enum RunTails {
  /// Bytes that a word takes at most.
  static let wordBytesMax = 9

  /// Appends a row's tail.
  static func encode(_ words: UnsafeBufferPointer<UInt64>, to bytes: inout [UInt8]) {
    bytes.reserveCapacity(bytes.count + words.count * wordBytesMax)
    for index in words.indices {
      var rest = index < 2 ? words[index] : words[index] ^ words[index - 2]
      let place = bytes.count
      bytes.append(0)
      var mask: UInt8 = 0
      var bit: UInt8 = 1
      while rest != 0 {
        if rest & 0xFF != 0 {
          mask |= bit
          bytes.append(UInt8(truncatingIfNeeded: rest))
        }
        rest &>>= 8
        bit = bit &<< 1
      }
      bytes[place] = mask
    }
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
      var mask = bytes.load(as: UInt8.self)
      bytes += 1
      var word = index < 2 ? 0 : words[index - 2]
      while mask != 0 {
        word ^= UInt64(bytes.load(as: UInt8.self)) &<< UInt64(8 * mask.trailingZeroBitCount)
        bytes += 1
        mask &= mask &- 1
      }
      words[index] = word
    }
    return bytes <= end
  }
}
