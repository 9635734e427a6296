/// A JSON value, for the places where an event is handled alone: answers, exports, tests. Batches keep columns instead.
public enum JSONValue: Sendable {
  case null
  case bool(Bool)
  case int(Int64)
  /// A finite number.
  case double(Double)
  /// A number's text as it came, where neither a 64-bit integer nor a double can hold it: integers beyond 64 bits.
  case number(String)
  case string(String)
  case array([JSONValue])
  case object(JSONObject)

  /// Reads a text that holds one JSON value.
  public init(parsing text: String) throws(JSONError) {
    try self.init(parsing: Array(text.utf8))
  }

  /// Reads UTF-8 that holds one JSON value.
  /// - Throws: `JSONError`, also for bytes that are not UTF-8: if they were repaired, two texts could become one.
  public init(parsing bytes: some Collection<UInt8>) throws(JSONError) {
    let padded = Array(bytes) + Array(repeating: 0, count: JSONCursor.padding)
    let result = padded.withUnsafeBufferPointer { buffer -> Result<JSONValue, JSONError> in
      guard let base = buffer.baseAddress else { return .success(.null) }
      let text = UnsafeBufferPointer(rebasing: buffer.dropLast(JSONCursor.padding))
      if let position = JSONValue.firstInvalid(text) { return .failure(JSONError(problem: .notUTF8, position: position)) }
      var cursor = JSONCursor(base, count: buffer.count - JSONCursor.padding)
      do throws(JSONProblem) {
        let value = try JSONValue(&cursor, depth: 0)
        cursor.skipSpace()
        guard cursor.p == cursor.end else { throw .trailingCharacters }
        return .success(value)
      } catch {
        return .failure(JSONError(problem: error, position: cursor.position))
      }
    }
    self = try result.get()
  }

  private init(_ cursor: inout JSONCursor, depth: Int) throws(JSONProblem) {
    cursor.skipSpace()
    switch cursor.p.pointee {
    case 0x22:
      cursor.p += 1
      self = .string(JSONValue.text(try cursor.string()))
    case 0x7B:
      guard depth < JSONCursor.depthMax else { throw .tooDeep }
      cursor.p += 1
      var members = JSONObject()
      cursor.skipSpace()
      if cursor.take(0x7D) {
        self = .object(members)
        return
      }
      repeat {
        cursor.skipSpace()
        guard cursor.take(0x22) else { throw cursor.unexpected }
        let name = JSONValue.text(try cursor.string())
        cursor.skipSpace()
        guard cursor.take(0x3A) else { throw cursor.unexpected }
        members.append(name, try JSONValue(&cursor, depth: depth + 1))
        cursor.skipSpace()
      } while cursor.take(0x2C)
      guard cursor.take(0x7D) else { throw cursor.unexpected }
      self = .object(members)
    case 0x5B:
      guard depth < JSONCursor.depthMax else { throw .tooDeep }
      cursor.p += 1
      var elements: [JSONValue] = []
      cursor.skipSpace()
      if cursor.take(0x5D) {
        self = .array(elements)
        return
      }
      repeat {
        elements.append(try JSONValue(&cursor, depth: depth + 1))
        cursor.skipSpace()
      } while cursor.take(0x2C)
      guard cursor.take(0x5D) else { throw cursor.unexpected }
      self = .array(elements)
    case 0x2D, 0x30...0x39:
      switch try cursor.number() {
      case .int(let value): self = .int(value)
      case .double(let value): self = .double(value)
      case .beyond(let start, let count):
        self = .number(String(decoding: UnsafeBufferPointer(start: start, count: count), as: UTF8.self))
      }
    default:
      switch try cursor.literal() {
      case .null: self = .null
      case .yes: self = .bool(true)
      case .no: self = .bool(false)
      }
    }
  }

  /// Checks that UTF-8 holds one JSON value, without making one.
  public static func check(_ bytes: UnsafeRawBufferPointer) throws(JSONError) {
    if let position = firstInvalid(bytes.bindMemory(to: UInt8.self)) { throw JSONError(problem: .notUTF8, position: position) }
    let padded = Array(bytes) + Array(repeating: 0, count: JSONCursor.padding)
    let failure = padded.withUnsafeBufferPointer { buffer -> JSONError? in
      guard let base = buffer.baseAddress else { return nil }
      var cursor = JSONCursor(base, count: bytes.count)
      do throws(JSONProblem) {
        try cursor.skipValue(depth: 0)
        cursor.skipSpace()
        guard cursor.p == cursor.end else { throw .trailingCharacters }
        return nil
      } catch {
        return JSONError(problem: error, position: cursor.position)
      }
    }
    if let failure { throw failure }
  }

  /// The position of the first bytes that are not UTF-8.
  private static func firstInvalid(_ bytes: UnsafeBufferPointer<UInt8>) -> Int? {
    guard !bytes.allSatisfy({ $0 < 0x80 }), String(validating: bytes, as: UTF8.self) == nil else { return nil }
    // The repaired text is the same up to there.
    return zip(bytes, String(decoding: bytes, as: UTF8.self).utf8).enumerated().first { $1.0 != $1.1 }?.offset ?? bytes.count
  }

  private static func text(_ token: JSONCursor.StringToken) -> String {
    guard token.isEscaped else { return String(decoding: token.bytes, as: UTF8.self) }
    return String(unsafeUninitializedCapacity: token.count) { buffer in
      buffer.baseAddress.map { JSONCursor.unescape(token, into: $0) } ?? 0
    }
  }

  public subscript(_ name: String) -> JSONValue? {
    guard case .object(let members) = self else { return nil }
    return members[name]
  }

  // MARK: writing

  /// Appends the value's JSON text, without white space.
  public func write(to output: inout [UInt8]) {
    switch self {
    case .null: output.append(contentsOf: "null".utf8)
    case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
    case .int(let value): output.append(contentsOf: String(value).utf8)
    case .double(let value): output.append(contentsOf: value.description.utf8)
    case .number(let text): output.append(contentsOf: text.utf8)
    case .string(let value): JSONValue.writeString(value, to: &output)
    case .array(let elements):
      output.append(0x5B)
      for (index, element) in elements.enumerated() {
        if index > 0 { output.append(0x2C) }
        element.write(to: &output)
      }
      output.append(0x5D)
    case .object(let members):
      output.append(0x7B)
      for (index, member) in members.enumerated() {
        if index > 0 { output.append(0x2C) }
        JSONValue.writeString(member.name, to: &output)
        output.append(0x3A)
        member.value.write(to: &output)
      }
      output.append(0x7D)
    }
  }

  /// Appends a string with its quotes, escaped as RFC 8259 asks.
  public static func writeString(_ string: String, to output: inout [UInt8]) {
    var copy = string
    copy.withUTF8 { writeString(UnsafeRawBufferPointer($0), to: &output) }
  }

  /// Appends UTF-8 as a string with its quotes, escaped as RFC 8259 asks.
  public static func writeString(_ bytes: UnsafeRawBufferPointer, to output: inout [UInt8]) {
    output.append(0x22)
    for byte in bytes {
      switch byte {
      case 0x22, 0x5C:
        output.append(0x5C)
        output.append(byte)
      case 0x0A: output.append(contentsOf: [0x5C, 0x6E])
      case 0x0D: output.append(contentsOf: [0x5C, 0x72])
      case 0x09: output.append(contentsOf: [0x5C, 0x74])
      case 0x08: output.append(contentsOf: [0x5C, 0x62])
      case 0x0C: output.append(contentsOf: [0x5C, 0x66])
      case 0..<0x20:
        let digits = Array("0123456789abcdef".utf8)
        output.append(contentsOf: [0x5C, 0x75, 0x30, 0x30, digits[Int(byte >> 4)], digits[Int(byte & 15)]])
      default: output.append(byte)
      }
    }
    output.append(0x22)
  }

  public var text: String {
    var output: [UInt8] = []
    write(to: &output)
    return String(decoding: output, as: UTF8.self)
  }
}

extension JSONValue: Hashable {
  /// Texts are equal when their bytes are: `UTF8Text` says why.
  public static func == (a: JSONValue, b: JSONValue) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let x), .bool(let y)): x == y
    case (.int(let x), .int(let y)): x == y
    case (.double(let x), .double(let y)): x == y
    case (.number(let x), .number(let y)), (.string(let x), .string(let y)): x.hasSameBytes(as: y)
    case (.array(let x), .array(let y)): x == y
    case (.object(let x), .object(let y)): x == y
    case (.null, _), (.bool, _), (.int, _), (.double, _), (.number, _), (.string, _), (.array, _), (.object, _): false
    }
  }

  public func hash(into hasher: inout Hasher) {
    switch self {
    case .null: hasher.combine(0)
    case .bool(let value): hasher.combine(value)
    case .int(let value): hasher.combine(value)
    case .double(let value): hasher.combine(value)
    case .number(let text), .string(let text): hasher.combine(UTF8Text(text))
    case .array(let elements): hasher.combine(elements)
    case .object(let members): hasher.combine(members)
    }
  }
}

/// An object's members in order. Names are compared by their bytes; if one comes twice, the last value counts.
public struct JSONObject: Sendable, Hashable, RandomAccessCollection {
  public struct Member: Sendable {
    public var name: String
    public var value: JSONValue
  }

  private var members: [Member] = []

  public init() {}

  public var startIndex: Int { 0 }
  public var endIndex: Int { members.count }
  public subscript(position: Int) -> Member { members[position] }

  public subscript(_ name: String) -> JSONValue? {
    get { members.last { $0.name.hasSameBytes(as: name) }?.value }
    set {
      members.removeAll { $0.name.hasSameBytes(as: name) }
      if let newValue { members.append(Member(name: name, value: newValue)) }
    }
  }

  /// Appends a member whose name is not there yet, without looking for it, so that many members take linear time.
  public mutating func append(_ name: String, _ value: JSONValue) { members.append(Member(name: name, value: value)) }

  /// Equal when the same names have the same values, in any order.
  public static func == (a: JSONObject, b: JSONObject) -> Bool { a.byName == b.byName }
  public func hash(into hasher: inout Hasher) { hasher.combine(byName) }

  private var byName: [UTF8Text: JSONValue] {
    Dictionary(members.map { (UTF8Text($0.name), $0.value) }, uniquingKeysWith: { $1 })
  }
}

extension JSONValue: ExpressibleByDictionaryLiteral {
  public init(dictionaryLiteral elements: (String, JSONValue)...) {
    var members = JSONObject()
    for (name, value) in elements { members.append(name, value) }
    self = .object(members)
  }
}
