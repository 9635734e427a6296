import Glibc

/// Cuts chunks into lines, holding back a line that has no end yet.
struct LineSplitter {
  /// Longer lines are not kept: they are given as nil.
  let lineBytesMax: Int
  private var held: [UInt8] = []
  private var isSkipping = false
  /// The number of the line given last, from 1.
  private(set) var number = 0

  init(lineBytesMax: Int) { self.lineBytesMax = lineBytesMax }

  /// Gives each line that ends in the chunk, from `position` on, until `body` says to stop.
  /// - Parameter body: Gets the line without its end, or nil for one that is too long.
  /// - Returns: The position to go on at in the same chunk; its count when it is used up.
  mutating func lines(_ chunk: [UInt8], from position: Int, _ body: (UnsafeRawBufferPointer?) -> Bool) -> Int {
    chunk.withUnsafeBytes { bytes in
      guard let base = bytes.baseAddress else { return 0 }
      var start = position
      while start < bytes.count {
        guard let end = memchr(base + start, 0x0A, bytes.count - start) else {
          hold(UnsafeRawBufferPointer(rebasing: bytes[start...]))
          return bytes.count
        }
        let stop = UnsafeRawPointer(end) - base
        let part = UnsafeRawBufferPointer(rebasing: bytes[start..<stop])
        start = stop + 1
        number += 1
        var goesOn: Bool
        if held.isEmpty && !isSkipping {
          goesOn = body(part.count > lineBytesMax ? nil : trimmed(part))
        } else {
          hold(part)
          goesOn = giveHeld(body)
        }
        if !goesOn { return start }
      }
      return start
    }
  }

  /// Gives the last line, if the input does not end with a line's end.
  mutating func finish(_ body: (UnsafeRawBufferPointer?) -> Bool) {
    guard !held.isEmpty || isSkipping else { return }
    number += 1
    _ = giveHeld(body)
  }

  private mutating func giveHeld(_ body: (UnsafeRawBufferPointer?) -> Bool) -> Bool {
    defer {
      held.removeAll(keepingCapacity: true)
      isSkipping = false
    }
    return isSkipping ? body(nil) : held.withUnsafeBytes { body(trimmed($0)) }
  }

  private mutating func hold(_ part: UnsafeRawBufferPointer) {
    if isSkipping || held.count + part.count > lineBytesMax {
      isSkipping = true
      held = []
    } else {
      held.append(contentsOf: part)
    }
  }

  private func trimmed(_ line: UnsafeRawBufferPointer) -> UnsafeRawBufferPointer {
    var start = 0, end = line.count
    while start < end, line[start] == 0x20 || line[start] == 0x09 || line[start] == 0x0D { start += 1 }
    while end > start, line[end - 1] == 0x20 || line[end - 1] == 0x09 || line[end - 1] == 0x0D { end -= 1 }
    return UnsafeRawBufferPointer(rebasing: line[start..<end])
  }
}
