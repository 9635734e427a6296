import Events
import Expressions

/// The first or last value by event time: among events of one time, the first has the smallest offset, the last the largest.
/// Among events of one time and offset, which only rows of different partitions have, the value itself decides, so that merging
/// does not depend on an order.
///
/// Any JSON scalar but null; strings of at most 64 KiB: a longer one is counted as unusable. Exact.
///
/// Five words of the row's state: event time, offset + 1 (0 while there is none), kind, bits (for a string its length in bytes),
/// and the handle of the string's block.
enum TimedValue {
  static let words = 5
  static let stringBytesMax = 1 << 16

  /// Whether a value of this time and offset replaces the present one.
  @inline(__always) static func isBetter(_ state: UnsafePointer<UInt64>, time: Int64, offset: UInt64, isLast: Bool) -> Bool {
    guard state[1] != 0 else { return true }
    let kept = Int64(bitPattern: state[0])
    if time != kept { return isLast ? time > kept : time < kept }
    return isLast ? offset >= state[1] : offset < state[1]
  }

  /// - Parameter string: A string's UTF-8, at most `stringBytesMax`.
  static func set(
    _ state: UnsafeMutablePointer<UInt64>, time: Int64, offset: UInt64, kind: ValueKind, bits: UInt64,
    string: UnsafeRawBufferPointer?, _ arena: inout StateArena
  ) {
    state[0] = UInt64(bitPattern: time)
    state[1] = offset
    state[2] = UInt64(kind.rawValue)
    state[3] = bits
    guard let string, !string.isEmpty else {
      if state[4] != 0 { arena.release(state[4]) }
      state[4] = 0
      if string != nil { state[3] = 0 }
      return
    }
    state[3] = UInt64(string.count)
    let words = (string.count + 7) / 8
    let sizeClass = StateArena.sizeClass(forWords: words)
    if state[4] == 0 || StateArena.sizeClass(of: state[4]) != sizeClass {
      if state[4] != 0 { arena.release(state[4]) }
      state[4] = arena.allocate(sizeClass)
    }
    let block = arena.block(state[4]) + StateArena.headerWords
    block[words - 1] = 0
    UnsafeMutableRawPointer(block).copyMemory(from: string.baseAddress.unsafelyUnwrapped, byteCount: string.count)
  }

  static func tailWords(_ state: UnsafePointer<UInt64>) -> Int {
    state[2] == UInt64(ValueKind.string.rawValue) ? Int(truncatingIfNeeded: (state[3] + 7) / 8) : 0
  }

  /// Merges a canonical value.
  static func merge(
    _ state: UnsafeMutablePointer<UInt64>, _ other: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>, isLast: Bool,
    _ arena: inout StateArena
  ) {
    guard other[1] != 0 else { return }
    let time = Int64(bitPattern: other[0])
    if state[1] == other[1], state[0] == other[0] {
      guard precedes(state, other, tail, arena) == isLast else { return }
    } else {
      guard isBetter(state, time: time, offset: other[1], isLast: isLast) else { return }
    }
    let kind = ValueKind(rawValue: UInt8(truncatingIfNeeded: other[2])) ?? .null
    guard kind == .string else {
      return set(state, time: time, offset: other[1], kind: kind, bits: other[3], string: nil, &arena)
    }
    let string = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(tail)[0..<Int(other[3])])
    set(state, time: time, offset: other[1], kind: kind, bits: 0, string: string, &arena)
  }

  /// An order of values that differ: by kind, then bits, then the string's bytes.
  private static func precedes(
    _ state: UnsafePointer<UInt64>, _ other: UnsafePointer<UInt64>, _ tail: UnsafeBufferPointer<UInt64>,
    _ arena: borrowing StateArena
  ) -> Bool {
    if state[2] != other[2] { return state[2] < other[2] }
    if state[3] != other[3] { return state[3] < other[3] }
    guard state[4] != 0 else { return false }
    let block = UnsafeBufferPointer(start: arena.block(state[4]) + StateArena.headerWords, count: tail.count)
    return block.lexicographicallyPrecedes(tail)
  }

  static func isValid(_ state: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>) -> Bool {
    guard state[1] != 0 else { return state[0] == 0 && state[2] == 0 && state[3] == 0 && tail.isEmpty }
    switch ValueKind(rawValue: UInt8(truncatingIfNeeded: state[2])) {
    case .bool: return state[2] < 256 && state[3] <= 1 && tail.isEmpty
    case .int, .time: return state[2] < 256 && tail.isEmpty
    case .uint: return state[2] < 256 && state[3] > UInt64(Int64.max) && tail.isEmpty
    case .double: return state[2] < 256 && Double(bitPattern: state[3]).isFinite && tail.isEmpty
    case .string: return state[2] < 256 && state[3] <= UInt64(stringBytesMax) && tail.count == tailWords(state)
    case .missing, .error, .null, .raw, .object, nil: return false
    }
  }

  static func value(_ state: UnsafePointer<UInt64>, tail: UnsafeBufferPointer<UInt64>) -> ResultValue {
    guard state[1] != 0 else { return .null }
    switch ValueKind(rawValue: UInt8(truncatingIfNeeded: state[2])) {
    case .bool: return .bool(state[3] != 0)
    case .int: return .int(Int64(bitPattern: state[3]))
    case .uint: return .uint(state[3])
    case .double: return .double(Double(bitPattern: state[3]))
    case .time: return .time(Timestamp(nanoseconds: Int64(bitPattern: state[3])))
    case .string:
      return .string(String(decoding: UnsafeRawBufferPointer(tail).prefix(Int(truncatingIfNeeded: state[3])), as: UTF8.self))
    case .missing, .error, .null, .raw, .object, nil: return .null
    }
  }
}
