/// The literals that one event loop has met: an event's text between the end of one value and the start of the next.
///
/// ```
/// {"source":"device/7","time":"2024-05-01T12:34:56Z","data":{"value":21.5}}
///  ‾‾‾‾‾‾‾‾‾‾        ‾‾‾‾‾‾‾‾‾                    ‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾‾    ‾‾
/// ```
/// Devices repeat themselves. Where a value ends, its path and the literal that follows decide the next value's path: reading
/// that literal again needs one comparison of its bytes, no tokens and no names. So each literal remembers which one came next
/// last time, and each path the literals that have followed it. A text that follows none of them is read token by token, and is
/// remembered.
///
/// The table has a bound. When it is full it is forgotten, though not more than once in `eventsKeptMin` events: until then new
/// literals are not remembered.
struct LiteralTable: ~Copyable {
  /// The value that a literal leads to, as far as the reader has a way of its own for it.
  enum Value: UInt8 {
    /// None: the event ends.
    case end
    case source, type, id, subject, time, specversion, attributeText
    case sequence, epoch
    /// An attribute of any other kind, or `data_base64`.
    case attribute
    /// A string in `data`.
    case text
    /// Anything in `data` but a string: most likely a number.
    case number

    /// Whether the literal ends with the value's opening quote.
    var isQuoted: Bool {
      switch self {
      case .source, .type, .id, .subject, .time, .specversion, .attributeText, .text: true
      case .end, .sequence, .epoch, .attribute, .number: false
      }
    }
  }

  struct Literal: BitwiseCopyable {
    /// The first sixteen bytes, zeros beyond the literal's end, and ones in every bit that counts.
    var words: (UInt64, UInt64) = (0, 0)
    var masks: (UInt64, UInt64) = (0, 0)
    /// The literal that came next last time.
    var next = LiteralTable.none
    /// Another literal that follows the same value.
    var sibling = LiteralTable.none
    /// The path of the value that it leads to.
    var path: Int32
    /// The bytes of that path.
    var pathBytes: UInt32 = 0
    /// The position of its bytes.
    var position: UInt32 = 0
    var count: UInt16 = 0
    /// The objects that it opens.
    var opened: UInt8 = 0
    var value: Value
    /// Whether it has no more than sixteen bytes, opens no object and leads to a value: then the words and the path are all
    /// there is to it.
    var isPlain = false

    init(value: Value, path: Int32, pathBytes: Int = 0, opened: Int = 0) {
      self.value = value
      self.path = path
      self.pathBytes = UInt32(pathBytes)
      self.opened = UInt8(opened)
    }
  }

  static let literalsMax = 2048
  /// Most literals that may follow one value.
  static let siblingsMax = 12
  /// Longest literal, in bytes.
  static let bytesMax = 256
  static let eventsKeptMin = 65_536
  /// The number of the literal that stands for an event's `{`.
  static let start: UInt32 = 0
  /// The number of a literal that is in no text, in place of one that is not known.
  static let none: UInt32 = 1

  private var literals = GrowableBuffer<Literal>(capacity: 32)
  private var bytes = GrowableBuffer<UInt8>(capacity: 512)
  /// By path: the number of the first literal that follows its value; 0 for none.
  private var firsts = GrowableBuffer<UInt32>(capacity: 32)
  /// The number of events when the table was last forgotten.
  private var forgottenAt = 0

  init() { begin() }

  private mutating func begin() {
    literals.append(Literal(value: .end, path: PathTable.Known.event))
    var none = Literal(value: .end, path: PathTable.Known.event)
    // UTF-8 has no such bytes.
    (none.words.0, none.masks.0) = (.max, .max)
    literals.append(none)
  }

  /// The table's memory, valid until the next `learn`.
  struct View: BitwiseCopyable {
    fileprivate let literals: UnsafeMutablePointer<Literal>
    fileprivate let bytes: UnsafePointer<UInt8>
    fileprivate let firsts: UnsafePointer<UInt32>
    fileprivate let firstsCount: Int

    @inline(__always) subscript(_ number: UInt32) -> UnsafeMutablePointer<Literal> { literals + Int(number) }

    /// The literal at `p`, where the value ends whose own literal is `previous`, if it is the one that came there last time; else
    /// `none`.
    /// - Parameter p: Sixteen bytes from there can be read.
    @inline(__always) func guess(after previous: UInt32, _ p: UnsafePointer<UInt8>) -> UInt32 {
      let guess = self[previous].pointee.next
      return isAt(p, guess) ? guess : LiteralTable.none
    }

    /// The literal at `p`, where the value at `path` ends.
    @inline(never) func find(after path: Int32, _ previous: UInt32, _ p: UnsafePointer<UInt8>) -> UInt32 {
      var number = Int(path) < firstsCount ? firsts[Int(path)] : 0
      // 0 stands for none where a path has no literal yet.
      while number > LiteralTable.none {
        if isAt(p, number) {
          if previous != LiteralTable.none { self[previous].pointee.next = number }
          return number
        }
        number = self[number].pointee.sibling
      }
      return LiteralTable.none
    }

    @inline(__always) private func isAt(_ p: UnsafePointer<UInt8>, _ number: UInt32) -> Bool {
      let literal = self[number]
      let text = UnsafeRawPointer(p)
      let difference =
        (text.loadUnaligned(as: UInt64.self) ^ literal.pointee.words.0) & literal.pointee.masks.0
        | (text.loadUnaligned(fromByteOffset: 8, as: UInt64.self) ^ literal.pointee.words.1) & literal.pointee.masks.1
      return difference == 0 && (literal.pointee.isPlain || isRest(p, literal))
    }

    @inline(__always) private func isRest(_ p: UnsafePointer<UInt8>, _ literal: UnsafeMutablePointer<Literal>) -> Bool {
      let count = Int(literal.pointee.count)
      // Sixteen bytes of it are there, and it holds no zero: so the text has not ended before them.
      return count <= 16 || equalPadded(bytes + Int(literal.pointee.position) + 16, p + 16, count &- 16)
    }
  }

  var view: View {
    View(
      literals: literals.base, bytes: UnsafePointer(bytes.base), firsts: UnsafePointer(firsts.base), firstsCount: firsts.count)
  }

  var count: Int { literals.count }

  subscript(_ number: UInt32) -> Literal { literals[Int(number)] }

  /// Remembers a literal.
  /// - Parameters:
  ///   - path: The path of the value before it; that of the event at its start.
  ///   - previous: The literal before that value, or `none`.
  ///   - text: Its first byte.
  ///   - literal: All but its bytes.
  ///   - events: The number of events read so far.
  /// - Returns: Its number; `none` where it was not remembered.
  mutating func learn(
    after path: Int32, _ previous: UInt32, _ text: UnsafePointer<UInt8>, count: Int, _ literal: Literal, events: Int
  ) -> UInt32 {
    guard count <= LiteralTable.bytesMax else { return LiteralTable.none }
    if literals.count >= LiteralTable.literalsMax {
      // The one before is no longer known then: the next event begins anew.
      if events &- forgottenAt >= LiteralTable.eventsKeptMin { forget(events: events) }
      return LiteralTable.none
    }
    if Int(path) >= firsts.count { firsts.fillWithZeros(to: Int(path) + 1) }
    var number = firsts[Int(path)]
    var siblings = 0
    while number > LiteralTable.none {
      let known = literals[Int(number)]
      if Int(known.count) == count, known.value == literal.value, equalPadded(bytes.base + Int(known.position), text, count) {
        break
      }
      siblings += 1
      number = known.sibling
    }
    if number <= LiteralTable.none {
      guard siblings < LiteralTable.siblingsMax else { return LiteralTable.none }
      number = add(after: path, text, count: count, literal)
    }
    if previous != LiteralTable.none { (literals.base + Int(previous)).pointee.next = number }
    return number
  }

  private mutating func add(after path: Int32, _ text: UnsafePointer<UInt8>, count: Int, _ literal: Literal) -> UInt32 {
    var literal = literal
    literal.count = UInt16(count)
    literal.isPlain = count <= 16 && literal.opened == 0 && literal.value != .end
    literal.position = UInt32(bytes.count)
    for index in 0..<min(count, 16) {
      let shift = UInt64(index & 7) * 8
      if index < 8 {
        literal.words.0 |= UInt64(text[index]) << shift
        literal.masks.0 |= 0xFF << shift
      } else {
        literal.words.1 |= UInt64(text[index]) << shift
        literal.masks.1 |= 0xFF << shift
      }
    }
    literal.sibling = max(firsts[Int(path)], LiteralTable.none)
    bytes.append(text, count: count)
    let number = UInt32(literals.count)
    literals.append(literal)
    firsts[Int(path)] = number
    return number
  }

  private mutating func forget(events: Int) {
    literals.removeAll()
    bytes.removeAll()
    for path in 0..<firsts.count { firsts[path] = 0 }
    forgottenAt = events
    begin()
  }
}
