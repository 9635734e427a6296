/// A pattern of `LIKE` or `GLOB`, matched in one pass that goes back to the last `%` or `*` only: at most pattern times text
/// steps.
struct SQLPattern {
  static let bytesMax = 1000
  /// The steps between two checks whether to go on.
  private static let stretch = 1 << 16

  private enum Part {
    case any
    case one
    case character(UInt32)
    /// Ranges of characters; inverted, the ranges that do not match.
    case set([ClosedRange<UInt32>], isInverted: Bool)
    /// A malformed pattern matches nothing.
    case never
  }

  private var parts: [Part] = []
  private let ignoresCase: Bool

  /// `%` and `_`, ASCII letters of either case.
  init(like pattern: [UInt8], escape: [UInt8]?) {
    ignoresCase = true
    let characters = SQLBytes.characters(pattern)
    let escape = escape.flatMap { SQLBytes.characters($0).first }
    var at = 0
    while at < characters.count {
      let character = characters[at]
      at += 1
      if character == escape {
        guard at < characters.count else {
          parts.append(.never)
          return
        }
        parts.append(.character(SQLPattern.folded(characters[at])))
        at += 1
      } else if character == 0x25 {
        parts.append(.any)
      } else if character == 0x5F {
        parts.append(.one)
      } else {
        parts.append(.character(SQLPattern.folded(character)))
      }
    }
  }

  /// `*`, `?` and `[a-z]`.
  init(glob pattern: [UInt8]) {
    ignoresCase = false
    let characters = SQLBytes.characters(pattern)
    var at = 0
    while at < characters.count {
      let character = characters[at]
      at += 1
      switch character {
      case 0x2A: parts.append(.any)
      case 0x3F: parts.append(.one)
      case 0x5B: parts.append(SQLPattern.set(characters, &at))
      default: parts.append(.character(character))
      }
    }
  }

  /// - Parameter at: Past the opening bracket.
  private static func set(_ characters: [UInt32], _ at: inout Int) -> Part {
    var ranges: [ClosedRange<UInt32>] = []
    var isInverted = false
    func next() -> UInt32? {
      guard at < characters.count else { return nil }
      defer { at += 1 }
      return characters[at]
    }
    var current = next()
    if current == 0x5E {
      isInverted = true
      current = next()
    }
    if current == 0x5D {
      ranges.append(0x5D...0x5D)
      current = next()
    }
    var before: UInt32?
    while let character = current, character != 0x5D {
      if character == 0x2D, let low = before, at < characters.count, characters[at] != 0x5D, let high = next() {
        if low <= high { ranges.append(low...high) }
        before = nil
      } else {
        ranges.append(character...character)
        before = character
      }
      current = next()
    }
    return current == nil ? .never : .set(ranges, isInverted: isInverted)
  }

  private static func folded(_ character: UInt32) -> UInt32 {
    (0x41...0x5A).contains(character) ? character + 0x20 : character
  }

  private func matches(_ part: Part, _ character: UInt32) -> Bool {
    switch part {
    case .any, .never: false
    case .one: true
    case .character(let wanted): wanted == (ignoresCase ? SQLPattern.folded(character) : character)
    case .set(let ranges, let isInverted): ranges.contains { $0.contains(character) } != isInverted
    }
  }

  /// - Parameter mayContinue: Called from time to time.
  /// - Returns: Nil when it may not go on.
  func matches(_ text: [UInt8], while mayContinue: () -> Bool) -> Bool? {
    let characters = SQLBytes.characters(text)
    var (at, part, steps) = (0, 0, 0)
    /// The last `.any`, and the first character after those it stands for so far.
    var last: (part: Int, at: Int)?
    while at < characters.count {
      steps += 1
      guard steps % SQLPattern.stretch > 0 || mayContinue() else { return nil }
      if part < parts.count, case .any = parts[part] {
        last = (part, at)
        part += 1
      } else if part < parts.count, matches(parts[part], characters[at]) {
        part += 1
        at += 1
      } else if let known = last {
        last = (known.part, known.at + 1)
        at = known.at + 1
        part = known.part + 1
      } else {
        return false
      }
    }
    return parts[part...].allSatisfy { if case .any = $0 { true } else { false } }
  }
}
