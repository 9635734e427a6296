extension ColumnBatch {
  /// One event with everything it came with.
  /// - Complexity: As `events()`; take that for more than a few rows.
  public func event(at row: Int) -> Event { events(row..<row + 1)[0] }

  /// The events of some rows, with the values and value types they came with; member order and number spelling may differ.
  public func events(_ rows: Range<Int>? = nil) -> [Event] {
    let rows = rows ?? 0..<count
    let times = times(), sources = sourceCodes(), ids = ids()
    var types = ValueVector(), subjects = ValueVector()
    load(.attribute("type"), into: &types)
    load(.attribute("subject"), into: &subjects)
    let epochs = presentUnsigned(layout.epoch), sequences = presentUnsigned(layout.sequence)

    var events: [Event] = []
    events.reserveCapacity(rows.count)
    for row in rows {
      events.append(
        Event(
          source: string(Int(sources[row])), type: string(Int(types.bits[row])), id: ids[row],
          time: Timestamp(nanoseconds: times[row]),
          subject: subjects.kinds[row] == .string ? string(Int(subjects.bits[row])) : nil, sequence: sequences[row],
          epoch: epochs[row]))
    }
    for column in layout.columns where column.field == .data || column.field == .attribute {
      let name = withString(column.name) { Array($0) }
      var vector = ValueVector()
      vector.reset(to: .missing, count: count)
      fill(&vector, column, kind: column.type.kind)
      for (index, row) in rows.enumerated() where vector.kinds[row] != .missing {
        let value = self.value(vector, row)
        if column.field == .attribute {
          events[index].attributes[String(decoding: name, as: UTF8.self)] = value
        } else if name.isEmpty {
          events[index].data = value
        } else {
          // A path is each member's name with a zero byte before it.
          let members = name.dropFirst().split(separator: 0, omittingEmptySubsequences: false)
          let path = members.map { String(decoding: $0, as: UTF8.self) }
          events[index].data = ColumnBatch.inserting(value, at: path[...], into: events[index].data)
        }
      }
    }
    return events
  }

  func presentUnsigned(_ index: Int?) -> [UInt64?] {
    var result = [UInt64?](repeating: nil, count: count)
    guard let index else { return result }
    let column = layout.columns[index]
    let values: [UInt64] = integers(column)
    forEachPresent(column) { row, value in result[row] = values[value] }
    return result
  }

  private func value(_ vector: ValueVector, _ row: Int) -> JSONValue {
    let bits = vector.bits[row]
    switch vector.kinds[row] {
    case .bool: return .bool(bits != 0)
    case .int: return .int(Int64(bitPattern: bits))
    case .double: return .double(Double(bitPattern: bits))
    case .string: return .string(string(Int(bits)))
    case .raw: return rawValue(Int(bits))
    default: return .null
    }
  }

  /// The JSON value whose text is a string of the batch.
  func rawValue(_ code: Int) -> JSONValue {
    let text = string(code)
    do throws(JSONError) {
      return try JSONValue(parsing: text)
    } catch {
      // Only a batch from elsewhere can hold a raw value that is no JSON; its text is all there is.
      return .string(text)
    }
  }

  private static func inserting(_ value: JSONValue, at path: ArraySlice<String>, into parent: JSONValue?) -> JSONValue {
    guard let name = path.first else { return value }
    var members = JSONObject()
    if case .object(let present)? = parent { members = present }
    members[name] = inserting(value, at: path.dropFirst(), into: members[name])
    return .object(members)
  }
}
