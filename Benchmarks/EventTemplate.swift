import Glibc

/// A masked WebSocket frame with one message of events, in which only digits change from one message to the next. A digit is
/// changed by
/// exclusive-or with the difference of old and new, which is right whatever the mask key.
struct EventTemplate {
  private static let sequenceDigits = 16
  private static let sourceDigits = 7
  static let timeBytes = 24

  private(set) var frame: [UInt8]
  let batch: Int
  /// The bytes of one event, without brackets and commas.
  let eventBytes: Int
  private var sequencePositions: [Int] = []
  private var sourcePositions: [Int] = []
  private var timePositions: [Int] = []
  private var sequences: [UInt64] = []
  private var sources: [UInt64] = []
  private var time: [UInt8]

  init(batch: Int, sequence: UInt64, source: UInt64, time: [UInt8], maskKey: [UInt8]) {
    self.batch = batch
    self.time = time
    var text: [UInt8] = batch > 1 ? [0x5B] : []
    var positions: [(sequence: Int, source: Int, time: Int)] = []
    for index in 0..<batch {
      if index > 0 { text.append(0x2C) }
      text += Array(#"{"source":"device/"#.utf8)
      let sourceAt = text.count
      text += EventTemplate.digits(source, EventTemplate.sourceDigits)
      text += Array(#"","type":"reading","time":""#.utf8)
      let timeAt = text.count
      text += time
      text += Array(#"","sequence":"#.utf8)
      let sequenceAt = text.count
      text += EventTemplate.digits(sequence, EventTemplate.sequenceDigits)
      text += Array(#","data":{"value":\#(10 + index % 90).\#(10 + (index * 7) % 90),"site":"ams-\#(index % 7)"}}"#.utf8)
      positions.append((sequenceAt, sourceAt, timeAt))
    }
    eventBytes = (text.count - (batch > 1 ? 1 : 0) - (batch - 1)) / batch
    if batch > 1 { text.append(0x5D) }
    frame = [0x81]
    switch text.count {
    case ..<126: frame.append(0x80 | UInt8(text.count))
    case ..<65_536: frame += [0x80 | 126, UInt8(text.count >> 8), UInt8(text.count & 255)]
    default:
      frame.append(0x80 | 127)
      for shift in stride(from: 56, through: 0, by: -8) { frame.append(UInt8(text.count >> shift & 255)) }
    }
    frame += maskKey
    let start = frame.count
    frame.reserveCapacity(start + text.count)
    for (index, byte) in text.enumerated() { frame.append(byte ^ maskKey[index & 3]) }
    for position in positions {
      sequencePositions.append(start + position.sequence)
      sourcePositions.append(start + position.source)
      timePositions.append(start + position.time)
      sequences.append(sequence)
      sources.append(source)
    }
  }

  static func digits(_ value: UInt64, _ count: Int) -> [UInt8] {
    var rest = value
    var digits = [UInt8](repeating: 0x30, count: count)
    for index in (0..<count).reversed() {
      digits[index] = 0x30 + UInt8(rest % 10)
      rest /= 10
    }
    return digits
  }

  /// Changes the message to the next: sequences from `sequence` on, sources in turn out of `sourceBase ..< sourceBase +
  /// sourceCount`.
  mutating func advance(sequence: UInt64, sourceBase: UInt64, sourceCount: UInt64, time now: [UInt8]) {
    var timeChanges: [(Int, UInt8)] = []
    if now != time {
      for index in 0..<EventTemplate.timeBytes where now[index] != time[index] {
        timeChanges.append((index, now[index] ^ time[index]))
      }
      time = now
    }
    frame.withUnsafeMutableBufferPointer { frame in
      for event in 0..<batch {
        let value = sequence + UInt64(event)
        EventTemplate.patch(frame, sequencePositions[event] + EventTemplate.sequenceDigits - 1, from: sequences[event], to: value)
        sequences[event] = value
        if sourceCount > 1 {
          let source = sourceBase + value % sourceCount
          EventTemplate.patch(frame, sourcePositions[event] + EventTemplate.sourceDigits - 1, from: sources[event], to: source)
          sources[event] = source
        }
        for (index, change) in timeChanges { frame[timePositions[event] + index] ^= change }
      }
    }
  }

  /// - Parameter last: The position of the number's last digit.
  @inline(__always)
  private static func patch(_ frame: UnsafeMutableBufferPointer<UInt8>, _ last: Int, from old: UInt64, to new: UInt64) {
    var old = old, new = new, position = last
    while old != new {
      frame[position] ^= UInt8(truncatingIfNeeded: old % 10) ^ UInt8(truncatingIfNeeded: new % 10)
      old /= 10
      new /= 10
      position -= 1
    }
  }

  /// `2024-05-01T12:34:56.123Z`
  static func timeText(milliseconds: Int64) -> [UInt8] {
    var seconds = time_t(milliseconds / 1000)
    var parts = tm()
    gmtime_r(&seconds, &parts)
    return digits(UInt64(parts.tm_year + 1900), 4) + [0x2D] + digits(UInt64(parts.tm_mon + 1), 2) + [0x2D]
      + digits(UInt64(parts.tm_mday), 2) + [0x54] + digits(UInt64(parts.tm_hour), 2) + [0x3A]
      + digits(UInt64(parts.tm_min), 2) + [0x3A] + digits(UInt64(parts.tm_sec), 2) + [0x2E]
      + digits(UInt64(milliseconds % 1000), 3) + [0x5A]
  }
}

/// Milliseconds since 1970.
func wallMilliseconds() -> Int64 {
  var time = timespec()
  clock_gettime(CLOCK_REALTIME, &time)
  return Int64(time.tv_sec) * 1000 + Int64(time.tv_nsec) / 1_000_000
}
