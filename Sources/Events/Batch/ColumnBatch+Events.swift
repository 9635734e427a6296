extension ColumnBatch {
  /// One whole event.
  /// - Complexity: That of `events(at:)`; use that for more than a few rows.
  public func event(at row: Int) -> Event { events(at: [row])[0] }

  /// The events of consecutive rows, as `events(at:)` gives them; nil takes all rows.
  public func events(_ rows: Range<Int>? = nil) -> [Event] { events(at: Array(rows ?? 0..<count)) }

  /// The events of some rows, with the values and value types they came with; member order and number spelling may differ.
  /// - Parameter rows: Row numbers in any order.
  /// - Complexity: One pass over the columns, and over the values of the rows from the first to the last.
  public func events(at rows: [Int]) -> [Event] {
    guard let lowest = rows.min(), let highest = rows.max() else { return [] }
    let cells = BatchRows(self, lowest..<highest + 1)
    let attributeNames = cells.attributes.map { String(decoding: $0.name, as: UTF8.self) }
    let memberNames = cells.tree.nodes.map { String(decoding: $0.name, as: UTF8.self) }
    let times = times(), sources = sourceCodes(), ids = ids()
    var types = ValueVector(), subjects = ValueVector()
    load(.attribute("type"), into: &types)
    load(.attribute("subject"), into: &subjects)
    let epochs = presentUnsigned(layout.epoch), sequences = presentUnsigned(layout.sequence)

    var events: [Event] = []
    events.reserveCapacity(rows.count)
    for row in rows {
      var event = Event(
        source: string(Int(sources[row])), type: string(Int(types.bits[row])), id: ids[row],
        time: Timestamp(nanoseconds: times[row]),
        subject: subjects.kinds[row] == .string ? string(Int(subjects.bits[row])) : nil, sequence: sequences[row],
        epoch: epochs[row])
      for cell in cells.attributes(ofRow: row) {
        event.attributes[attributeNames[Int(cell.column)]] = value(cells.attributes[Int(cell.column)].column, cell)
      }
      event.data = data(cells.data(ofRow: row), cells, memberNames)
      events.append(event)
    }
    return events
  }

  /// A row's `data`; nil where it has none.
  private func data(_ cells: ArraySlice<BatchRows.Cell>, _ rows: BatchRows, _ names: [String]) -> JSONValue? {
    guard !cells.isEmpty else { return nil }
    var result: JSONValue?
    var open: [(node: Int, members: JSONObject)] = []
    func add(_ value: JSONValue, at node: Int) {
      if open.isEmpty { result = value } else { open[open.count - 1].members.append(names[node], value) }
    }
    rows.tree.walk(cells) { step in
      switch step {
      case .open(let node, _): open.append((node, JSONObject()))
      case .value(let node, let cell, _): add(value(rows.data[Int(cell.column)], cell), at: node)
      case .close:
        if let ended = open.popLast() { add(.object(ended.members), at: ended.node) }
      }
    }
    return result
  }

  func presentUnsigned(_ index: Int?) -> [UInt64?] {
    var result = [UInt64?](repeating: nil, count: count)
    guard let index else { return result }
    let column = layout.columns[index]
    let values: [UInt64] = integers(column)
    forEachPresent(column) { row, value in result[row] = values[value] }
    return result
  }

  private func value(_ column: BatchLayout.Column, _ cell: BatchRows.Cell) -> JSONValue {
    let bits = withPayload { BatchRows.bits(column, cell, $0) }
    switch column.type {
    case .null: return .null
    case .bool: return .bool(bits != 0)
    case .int: return .int(Int64(bitPattern: bits))
    case .unsigned: return Int64(exactly: bits).map { .int($0) } ?? .number(String(bits))
    case .double: return .double(Double(bitPattern: bits))
    case .string, .text: return .string(string(Int(bits)))
    case .raw: return rawValue(Int(bits))
    }
  }

  /// The JSON value whose text is a string of the batch.
  func rawValue(_ code: Int) -> JSONValue {
    let text = string(code)
    do throws(JSONError) {
      return try JSONValue(parsing: text)
    } catch {
      // Only a batch from elsewhere can hold a raw value that is no JSON; it becomes a string.
      return .string(text)
    }
  }
}
