import Events

/// ASCII text written into memory that the caller has made large enough.
struct FixedText {
  private let memory: UnsafeMutableRawBufferPointer
  /// The position of the next byte.
  var at = 0

  init(_ memory: UnsafeMutableRawBufferPointer) { self.memory = memory }

  mutating func append(_ text: StaticString) {
    let count = text.utf8CodeUnitCount
    precondition(at + count <= memory.count, "text beyond its memory")
    UnsafeMutableRawBufferPointer(rebasing: memory[at..<at + count]).copyMemory(
      from: UnsafeRawBufferPointer(start: text.utf8Start, count: count))
    at += count
  }

  /// - Parameter number: Not negative.
  mutating func append(decimal number: Int) {
    var digits = 1, power = 10
    while digits < 19, number >= power {
      digits += 1
      // 10^18 is the largest power below 2^63.
      if digits < 19 { power *= 10 }
    }
    precondition(at + digits <= memory.count, "text beyond its memory")
    var rest = UInt64(max(0, number)), place = at + digits
    repeat {
      place -= 1
      memory[place] = 0x30 + UInt8(truncatingIfNeeded: rest % 10)
      rest /= 10
    } while place > at
    at += digits
  }

  /// Makes a text frame of the bytes from byte 4 on, by moving them behind the shortest possible header.
  /// - Returns: The frame's length.
  func endWebSocketText() -> Int {
    let count = at - 4
    precondition((0..<65_536).contains(count), "too long for a header of four bytes")
    memory[0] = 0x81
    if count >= 126 {
      memory[1] = 126
      memory[2] = UInt8(count >> 8)
      memory[3] = UInt8(count & 0xFF)
      return at
    }
    memory[1] = UInt8(count)
    if let base = memory.baseAddress { (base + 2).copyMemory(from: base + 4, byteCount: count) }
    return count + 2
  }
}
