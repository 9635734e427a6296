import Events

/// Turns integers beyond Int64, which events keep as JSON text, into uints, and those beyond 64 bits into the nearest double: CEL
/// knows JSON numbers as doubles.
func readBigNumbers(_ vector: inout ValueVector, _ rows: some RowSource) {
  guard vector.uniformKind == nil || vector.uniformKind == .raw else { return }
  var changed = false
  let count = vector.count
  _ = vector.withColumns { kinds, bits in
    for row in 0..<count where kinds[row] == .raw {
      let number: (kind: ValueKind, bits: UInt64)? = rows.withString(Int(bits[row])) { text in
        guard let first = text.first, first == 0x2D || (0x30...0x39).contains(first) else { return nil }
        let text = String(decoding: text, as: UTF8.self)
        if let whole = UInt64(text) { return (.uint, whole) }
        let number = Double(text) ?? .nan
        return (number.isFinite ? .double : .error, number.bitPattern)
      }
      guard let number else { continue }
      (kinds[row], bits[row]) = number
      changed = true
    }
  }
  if changed { vector.uniformKind = nil }
}

/// Whether a path's last member is there, null included. As in CEL, a member of a missing field or of a scalar is an
/// error, but an event without `data` counts as one whose `data` is empty.
func loadPresence(_ path: ValuePath, _ rows: some RowSource, into vector: inout ValueVector) {
  rows.load(path, into: &vector)
  let count = vector.count
  if let uniform = vector.uniformKind, uniform != .missing { return vector.fill(.bool, uniform == .error ? 0 : 1, count: count) }
  var parents: ValueVector?
  if case .data(let members) = path, !members.isEmpty {
    var loaded = ValueVector()
    rows.load(.data(members.dropLast()), into: &loaded)
    parents = loaded
  }
  let isTopLevel = if case .data(let members) = path { members.count <= 1 } else { true }
  var errors = 0
  _ = vector.withColumns { kinds, bits in
    for row in 0..<count {
      bits[row] = kinds[row] == .missing ? 0 : 1
      guard kinds[row] == .missing, let parents else {
        kinds[row] = .bool
        continue
      }
      let isObject: Bool
      switch parents.kinds[row] {
      case .object: isObject = true
      case .missing: isObject = isTopLevel
      // An empty object has no members with columns, so it stays text; a list also does.
      case .raw: isObject = rows.withString(Int(parents.bits[row])) { $0.first == 0x7B }
      case .error, .null, .bool, .int, .uint, .double, .string, .time: isObject = false
      }
      kinds[row] = isObject ? .bool : .error
      errors &+= isObject ? 0 : 1
    }
  }
  vector.uniformKind = errors == 0 ? .bool : nil
}
