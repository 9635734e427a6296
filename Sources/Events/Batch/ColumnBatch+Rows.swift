extension ColumnBatch: RowSource {
  public var rowCount: Int { count }
  /// Shared strings only; an id's code lies beyond, and belongs to its row alone.
  public var stringCount: Int { layout.stringCount + (layout.id == nil ? 0 : count) }

  public func withString<R>(_ code: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    if code >= layout.stringCount { return try withID(ofRow: code - layout.stringCount, body) }
    let start = Int(layout.stringStarts[code]), end = Int(layout.stringStarts[code + 1])
    let position = layout.stringsPosition + start
    if let inflated {
      return try inflated.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[position..<position + end - start])) }
    }
    return try encoded.withUnsafeBytes {
      let first = BatchHeader.byteCount + position
      return try body(UnsafeRawBufferPointer(rebasing: $0[first..<first + end - start]))
    }
  }

  public func load(_ path: ValuePath, into vector: inout ValueVector) {
    vector.reset(to: .missing, count: count)
    switch path {
    case .attribute("time"): fill(&vector, layout.columns[layout.time], kind: .time)
    case .attribute("source"): fill(&vector, layout.columns[layout.source], kind: .string)
    case .attribute("type"): fill(&vector, layout.columns[layout.type], kind: .string)
    case .attribute("subject"): if let index = layout.subject { fill(&vector, layout.columns[index], kind: .string) }
    case .attribute("sequence"): if let index = layout.sequence { fill(&vector, layout.columns[index], kind: .int) }
    case .attribute("epoch"):
      vector.reset(to: .int, count: count)
      if let index = layout.epoch { fill(&vector, layout.columns[index], kind: .int) }
    case .attribute("id"):
      guard let index = layout.id else { return }
      vector.uniformKind = nil
      forEachPresent(layout.columns[index]) { row, _ in
        vector.kinds[row] = .string
        vector.bits[row] = UInt64(layout.stringCount + row)
      }
    case .attribute(let name): loadColumns(field: .attribute, name: Array(name.utf8), into: &vector)
    case .data(let members):
      loadColumns(field: .data, name: members.flatMap { [0] + Array($0.utf8) }, into: &vector)
    }
  }

  private func loadColumns(field: BatchLayout.Field, name: [UInt8], into vector: inout ValueVector) {
    if field == .data, layout.columns.count >= ColumnIndex.columnsMin {
      // In the order of the columns, as without the index.
      let found = layout.columnIndex.columns(atOrBelow: name, in: self).sorted()
      load(found.map { layout.columns[$0] }, field: field, name: name, into: &vector)
    } else {
      load(layout.columns, field: field, name: name, into: &vector)
    }
  }

  private func load(_ columns: [BatchLayout.Column], field: BatchLayout.Field, name: [UInt8], into vector: inout ValueVector) {
    for column in columns where column.field == field {
      let (isSame, isBelow) = withString(column.name) { bytes in
        (
          bytes.count == name.count && bytes.elementsEqual(name),
          field == .data && bytes.count > name.count && bytes.starts(with: name) && bytes[name.count] == 0
        )
      }
      if isSame {
        fill(&vector, column, kind: column.type.kind)
      } else if isBelow {
        vector.uniformKind = nil
        forEachPresent(column) { row, _ in vector.kinds[row] = .object }
      }
    }
  }

  /// Puts a column's values into their rows.
  func fill(_ vector: inout ValueVector, _ column: BatchLayout.Column, kind: ValueKind) {
    let isAll = column.presence == .all
    vector.uniformKind = isAll ? kind : nil
    vector.kinds.withUnsafeMutableBufferPointer { kinds in
      vector.bits.withUnsafeMutableBufferPointer { bits in
        withPayload { payload in
          let values = payload + column.valuesPosition
          if isAll {
            kinds.update(repeating: kind)
          } else {
            forEachPresent(column) { row, _ in kinds[row] = kind }
          }
          switch column.type {
          case .null: break
          case .bool:
            forEachPresent(column) { row, value in
              bits[row] = UInt64(values.load(fromByteOffset: value &>> 3, as: UInt8.self) &>> UInt8(value & 7) & 1)
            }
          case .double:
            forEachPresent(column) { row, value in
              bits[row] = UInt64(littleEndian: values.loadUnaligned(fromByteOffset: value &* 8, as: UInt64.self))
            }
          case .int, .unsigned, .string, .raw:
            if fillIntegers(bits, kinds, column, values, isAll: isAll) { vector.uniformKind = nil }
          case .text: break
          }
        }
      }
    }
  }

  /// - Returns: Whether a value is of another kind than the column.
  private func fillIntegers(
    _ bits: UnsafeMutableBufferPointer<UInt64>, _ kinds: UnsafeMutableBufferPointer<ValueKind>, _ column: BatchLayout.Column,
    _ values: UnsafeRawPointer, isAll: Bool
  ) -> Bool {
    guard column.values > 0, let target = bits.baseAddress else { return false }
    if isAll {
      IntegerEncoding.decode(values, width: column.width, count: column.values, into: target)
    } else {
      withUnsafeTemporaryAllocation(of: UInt64.self, capacity: column.values) { dense in
        IntegerEncoding.decode(values, width: column.width, count: column.values, into: dense.baseAddress.unsafelyUnwrapped)
        forEachPresent(column) { row, value in bits[row] = dense[value] }
      }
    }
    guard column.type == .unsigned else { return false }
    var isMixed = false
    forEachPresent(column) { row, _ in
      if bits[row] > UInt64(Int64.max) {
        kinds[row] = .uint
        isMixed = true
      }
    }
    return isMixed
  }
}

extension BatchLayout.ColumnType {
  /// The kind that an expression takes a value of the column for.
  var kind: ValueKind {
    switch self {
    case .null: .null
    case .bool: .bool
    case .int, .unsigned: .int
    case .double: .double
    case .string, .text: .string
    case .raw: .raw
    }
  }
}
