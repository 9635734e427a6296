/// An event's members besides `data`, which CloudEvents calls context attributes.
extension EventScanner {
  mutating func readAttribute(_ path: Int32) throws(JSONProblem) {
    switch path {
    case PathTable.Known.data: try readLeaf(path)
    case PathTable.Known.source: tape.source = try attributeText(.invalidSource, "source")
    case PathTable.Known.type: tape.type = try attributeText(.invalidType, "type")
    case PathTable.Known.id: tape.id = try attributeText(.invalidID, "id")
    case PathTable.Known.subject: tape.subject = try attributeText(.invalidSubject, "subject")
    case PathTable.Known.time:
      guard let text = try attributeText(.invalidTime, "time") else { return }
      if let time = Timestamp.parse(text.bytes) {
        tape.time = time.nanoseconds
        tape.hasTime = true
      } else {
        note(
          .invalidTime,
          "'time' is no RFC 3339 date-time within 1677-09-21 to 2262-04-11, as 2013-01-01T06:00:00Z: \(Self.excerpt(text))")
      }
    case PathTable.Known.sequence:
      if let value = try unsigned(.invalidSequence, "sequence") {
        tape.sequence = value
        tape.hasSequence = true
      }
    case PathTable.Known.epoch:
      if let value = try unsigned(.invalidEpoch, "epoch") {
        tape.epoch = value
        tape.hasEpoch = true
      }
    case PathTable.Known.specversion:
      if let text = try attributeText(.invalidSpecversion, "specversion"), !text.bytes.elementsEqual("1.0".utf8) {
        note(.invalidSpecversion, "'specversion' is \(Self.excerpt(text)); this is CloudEvents \"1.0\"")
      }
    case PathTable.Known.dataBase64:
      hasDataBase64 = try readBase64(path)
    default: try readExtension(path)
    }
  }

  /// Notes the event's first fault; reading goes on, so that the next event is found.
  @inline(never) mutating func note(_ code: RejectCode, _ detail: @autoclosure () -> String) {
    if pending == nil { pending = EventReject(code, detail()) }
  }

  private static func excerpt(_ text: EventTape.Slice) -> String { excerpt(text.bytes) }

  private static func excerpt(_ text: UnsafeRawBufferPointer) -> String {
    let shown = String(decoding: text.prefix(64), as: UTF8.self)
    return "\"\(shown)\"" + (text.count > 64 ? "…" : "")
  }

  /// A string attribute; nil when it is null, which CloudEvents takes as absent.
  @inline(__always) private mutating func attributeText(_ code: RejectCode, _ name: StaticString) throws(JSONProblem) -> EventTape
    .Slice?
  {
    guard cursor.take(0x22) else {
      if cursor.p.pointee == 0x6E, try cursor.literal() == .null { return nil }
      try cursor.skipValue(depth: 1)
      note(code, "'\(name)' is not a string")
      return nil
    }
    let text = text(try cursor.string())
    if text.count == 0 {
      note(code, "'\(name)' is empty")
    } else if text.count > EventReader.attributeBytesMax {
      note(.stringTooLong, "'\(name)' has \(text.count) bytes; the most is \(EventReader.attributeBytesMax)")
    }
    return text
  }

  /// An unsigned 64-bit number, as a JSON number or, as CloudEvents' sequence extension has it, a string of digits.
  private mutating func unsigned(_ code: RejectCode, _ name: StaticString) throws(JSONProblem) -> UInt64? {
    var digits = UnsafeRawBufferPointer(start: cursor.p, count: 0)
    switch cursor.p.pointee {
    case 0x22:
      cursor.p += 1
      digits = try cursor.string().bytes
    case 0x30...0x39:
      let first = cursor.p
      let number = try cursor.number()
      if case .int(let value) = number { return UInt64(value) }
      digits = UnsafeRawBufferPointer(start: first, count: cursor.p - first)
    case 0x6E:
      _ = try cursor.literal()
      return nil
    default: try cursor.skipValue(depth: 1)
    }
    let value = digits.first == 0x2B ? nil : UInt64(String(decoding: digits, as: UTF8.self))
    if value == nil { note(code, "'\(name)' is no whole number from 0 to 18446744073709551615") }
    return value
  }

  private mutating func readBase64(_ path: Int32) throws(JSONProblem) -> Bool {
    guard cursor.take(0x22) else {
      if cursor.p.pointee == 0x6E, try cursor.literal() == .null { return false }
      try cursor.skipValue(depth: 1)
      note(.invalidData, "'data_base64' is not a string")
      return true
    }
    let text = text(try cursor.string())
    if text.count > EventReader.stringBytesMax {
      note(.stringTooLong, "'data_base64' has \(text.count) bytes; the most is \(EventReader.stringBytesMax)")
    }
    if !Base64Text.isWellFormed(text.bytes) {
      note(.invalidData, "'data_base64' is no base64 (RFC 4648, section 4, with padding)")
    }
    tape.attributes.append(EventTape.Leaf(path: path, kind: .string, slice: text))
    return true
  }

  /// Whether CloudEvents allows the member's name for an extension attribute.
  func isAttributeName(_ path: Int32) -> Bool {
    let name = paths.name(path)
    return !name.isEmpty && name.count <= EventReader.attributeNameBytesMax
      && name.allSatisfy { 0x61...0x7A ~= $0 || 0x30...0x39 ~= $0 }
  }

  private mutating func readExtension(_ path: Int32) throws(JSONProblem) {
    let name = paths.name(path)
    if !isAttributeName(path) {
      note(
        .invalidAttribute,
        "\(Self.excerpt(name)) is no attribute name: use a-z and 0-9, \(EventReader.attributeNameBytesMax) at most; values belong in 'data'"
      )
    }
    if tape.attributes.count >= EventScanner.attributesMax {
      note(.tooManyMembers, "more than \(EventScanner.attributesMax) extension attributes")
    }
    switch cursor.p.pointee {
    case 0x22:
      cursor.p += 1
      let text = text(try cursor.string())
      if text.count > EventReader.attributeBytesMax {
        note(.stringTooLong, "an attribute has \(text.count) bytes; the most is \(EventReader.attributeBytesMax)")
      }
      tape.attributes.append(EventTape.Leaf(path: path, kind: .string, slice: text))
    case 0x2D, 0x30...0x39:
      if case .int(let value) = try cursor.number() {
        tape.attributes.append(EventTape.Leaf(path: path, kind: .int, bits: UInt64(bitPattern: value)))
      } else {
        note(.invalidAttribute, "attribute \(Self.excerpt(name)) is a number, but no whole one of 64 bits")
      }
    case 0x5B, 0x7B:
      try cursor.skipValue(depth: 1)
      note(
        .invalidAttribute,
        "attribute \(Self.excerpt(name)) is no string, boolean or whole number; structures belong in 'data'")
    default:
      switch try cursor.literal() {
      case .null: break
      case .yes: tape.attributes.append(EventTape.Leaf(path: path, kind: .bool, bits: 1))
      case .no: tape.attributes.append(EventTape.Leaf(path: path, kind: .bool, bits: 0))
      }
    }
  }
}
