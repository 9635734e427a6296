/// The columns of a batch under construction: the inside of `ColumnBatchBuilder`.
struct BatchColumns: ~Copyable {
  private enum BuiltIn {
    static let time = 0, source = 1, type = 2, id = 3, subject = 4, sequence = 5, epoch = 6
    static let count = 7
  }

  let partition: PartitionID
  private(set) var count = 0
  private var textBytes = 0
  /// The bytes of the paths that the rows have values at; the batch writes each path once.
  private var pathBytes = 0
  private var strings = StringTableBuilder()
  private var columns: UnsafeMutablePointer<ColumnAccumulator>
  private var columnCount = 0
  private var columnCapacity = 64
  /// The columns in the order of writing: the built-in ones, then by path. So members come back in the order in which the reader
  /// met their paths, whichever kinds of values a batch holds.
  private var order: [Int] = []
  private var isOrdered = true
  /// The column number plus one for each (path, kind of value); 0 for none.
  private var columnOfPath = GrowableBuffer<Int32>(capacity: 1024)
  private var pathGeneration = 0
  private var lastSource: UInt32 = .max
  private var lastType: UInt32 = .max
  private var output = GrowableBuffer<UInt8>(capacity: 64 * 1024)
  private var directory = GrowableBuffer<UInt8>(capacity: 1024)

  private static let kinds = 8
  init(partition: PartitionID) {
    self.partition = partition
    columns = .allocate(capacity: columnCapacity)
    addColumn(ColumnAccumulator(field: .time, type: .int))
    addColumn(ColumnAccumulator(field: .source, type: .string))
    addColumn(ColumnAccumulator(field: .type, type: .string))
    addColumn(ColumnAccumulator(field: .id, type: .text))
    addColumn(ColumnAccumulator(field: .subject, type: .string))
    addColumn(ColumnAccumulator(field: .sequence, type: .unsigned))
    addColumn(ColumnAccumulator(field: .epoch, type: .unsigned))
    columnOfPath.setCount(1024)
  }

  deinit {
    columns.deinitialize(count: columnCount)
    columns.deallocate()
  }

  var isFull: Bool {
    count >= BatchHeader.countMax || textBytes &+ pathBytes >= ColumnBatchBuilder.textBytesTarget
      || columnCount >= BatchLayout.columnsMax - EventReader.leavesMax - 64
  }

  mutating func append(_ reader: borrowing EventScanner) {
    precondition(!isFull)
    let row = count
    if pathGeneration != reader.pathGeneration { follow(reader.pathGeneration) }
    append(reader, row: row)
    count = row &+ 1
    textBytes &+= reader.tape.textBytes
  }

  @inline(never) private mutating func follow(_ generation: Int) {
    precondition(count == 0, "paths were reset while rows were waiting")
    forgetPaths()
    // The table was reset because it had grown large; so had this.
    columnOfPath = GrowableBuffer(capacity: 1024)
    columnOfPath.setCount(1024)
    pathGeneration = generation
  }

  /// Fields are read one by one: to lend the tape as a whole would load all of it.
  @inline(__always) private mutating func append(_ reader: borrowing EventScanner, row: Int) {
    guard let source = reader.tape.source, let type = reader.tape.type else { preconditionFailure("the reader checked both") }
    columns[BuiltIn.time].append(UInt64(bitPattern: reader.tape.time), row: row)
    if row == 0 || !strings.matches(Int(lastSource), source.start, source.count) {
      lastSource = strings.code(of: source.start, source.count, hash: reader.tape.sourceHashes.table)
    }
    columns[BuiltIn.source].append(code: lastSource, row: row)
    if row == 0 || !strings.matches(Int(lastType), type.start, type.count) {
      lastType = strings.code(of: type.start, type.count)
    }
    columns[BuiltIn.type].append(code: lastType, row: row)
    if let id = reader.tape.id {
      columns[BuiltIn.id].append(code: UInt32(truncatingIfNeeded: id.count), row: row)
      columns[BuiltIn.id].text.appendPadded(id.start, count: id.count)
    }
    if let subject = reader.tape.subject {
      columns[BuiltIn.subject].append(code: strings.code(of: subject.start, subject.count), row: row)
    }
    if reader.tape.hasSequence { columns[BuiltIn.sequence].append(reader.tape.sequence, row: row) }
    if reader.tape.hasEpoch { columns[BuiltIn.epoch].append(reader.tape.epoch, row: row) }
    put(reader.tape.leaves.base, reader.tape.leaves.count, reader.paths, field: .data, row: row)
    if reader.tape.attributes.count > 0 {
      put(reader.tape.attributes.base, reader.tape.attributes.count, reader.paths, field: .attribute, row: row)
    }
  }

  private mutating func put(
    _ leaves: UnsafePointer<EventTape.Leaf>, _ count: Int, _ paths: borrowing PathTable, field: BatchLayout.Field, row: Int
  ) {
    for index in 0..<count {
      let leaf = leaves + index
      let kind = leaf.pointee.kind
      let slot = Int(leaf.pointee.path) &* BatchColumns.kinds &+ Int(kind.rawValue & 7)
      var column = slot < columnOfPath.count ? Int(columnOfPath[slot]) &- 1 : -1
      if column < 0 { column = addColumn(field: field, kind: kind, path: leaf.pointee.path, slot: slot) }
      if columns[column].count == 0 { pathBytes &+= paths.pathBytes(leaf.pointee.path) }
      if kind == .string || kind == .raw {
        columns[column].append(code: strings.code(of: leaf.pointee.start, Int(leaf.pointee.count)), row: row)
      } else {
        columns[column].append(leaf.pointee.bits, row: row)
      }
    }
  }

  @inline(never) private mutating func addColumn(field: BatchLayout.Field, kind: ValueKind, path: Int32, slot: Int) -> Int {
    if slot >= columnOfPath.count { columnOfPath.fillWithZeros(to: slot + 1) }
    let type: BatchLayout.ColumnType =
      switch kind {
      case .null: .null
      case .bool: .bool
      case .int: .int
      case .double: .double
      case .raw: .raw
      case .missing, .error, .string, .object, .time, .uint: .string
      }
    addColumn(ColumnAccumulator(field: field, type: type, path: path, lookupSlot: slot))
    columnOfPath[slot] = Int32(columnCount)
    return columnCount - 1
  }

  private mutating func addColumn(_ column: consuming ColumnAccumulator) {
    if columnCount == columnCapacity {
      let larger = UnsafeMutablePointer<ColumnAccumulator>.allocate(capacity: columnCapacity * 2)
      larger.moveInitialize(from: columns, count: columnCount)
      columns.deallocate()
      columns = larger
      columnCapacity *= 2
    }
    (columns + columnCount).initialize(to: column)
    order.append(columnCount)
    isOrdered = columnCount < BuiltIn.count
    columnCount += 1
  }

  private mutating func forgetPaths() {
    for column in BuiltIn.count..<columnCount { columnOfPath[columns[column].lookupSlot] = 0 }
    (columns + BuiltIn.count).deinitialize(count: columnCount - BuiltIn.count)
    order = Array(0..<BuiltIn.count)
    isOrdered = true
    columnCount = BuiltIn.count
  }

  mutating func seal(_ reader: borrowing EventScanner) -> ColumnBatch? {
    guard count > 0 else { return nil }
    let batch = encode(reader.paths)
    count = 0
    textBytes = 0
    pathBytes = 0
    strings.removeAll()
    // Columns stay, with their storage, for the next batch of the same devices; seldom-seen ones would pile up.
    if columnCount > 256 { forgetPaths() }
    for column in 0..<columnCount { columns[column].removeAll() }
    return batch
  }

  private mutating func putInOrder() {
    guard !isOrdered else { return }
    let columns = columns
    order = Array(0..<BuiltIn.count) + order[BuiltIn.count...].sorted { columns[$0].lookupSlot < columns[$1].lookupSlot }
    isOrdered = true
  }

  private mutating func encode(_ paths: borrowing PathTable) -> ColumnBatch {
    putInOrder()
    // Names join the string table last, so that the codes of values stay small.
    var names = GrowableBuffer<UInt32>(capacity: columnCount)
    var name = GrowableBuffer<UInt8>(capacity: 256)
    var present = 0
    for column in 0..<columnCount {
      guard columns[column].count > 0 else {
        names.append(0)
        continue
      }
      present += 1
      name.removeAll()
      switch columns[column].field {
      case .data: paths.writeDataPath(columns[column].path, to: &name)
      case .attribute:
        let bytes = paths.name(columns[column].path)
        if let base = bytes.bindMemory(to: UInt8.self).baseAddress { name.append(base, count: bytes.count) }
      case .time, .source, .type, .id, .subject, .sequence, .epoch:
        names.append(0)
        continue
      }
      names.append(strings.code(of: name.base, name.count))
    }

    output.removeAll(keepingAtMost: 4 << 20)
    directory.removeAll()
    for _ in 0..<BatchHeader.byteCount { output.append(0) }
    let payloadStart = output.count
    output.appendBytes(of: UInt32(strings.count))
    output.appendBytes(of: UInt32(strings.bytes.count))
    output.appendBytes(of: UInt32(present))
    output.appendBytes(of: UInt32(0))
    var lengths = GrowableBuffer<UInt64>(capacity: max(strings.count, 1))
    for code in 0..<strings.count { lengths.append(UInt64(strings.length(code))) }
    let lengthWidth = IntegerEncoding.encode(lengths.base, count: lengths.count, isSigned: false, to: &output)
    output.base[payloadStart + 12] = lengthWidth
    output.append(strings.bytes.base, count: strings.bytes.count)
    let directoryStart = output.count
    output.reserve(directoryStart + present * BatchLayout.entryBytes)
    output.setCount(directoryStart + present * BatchLayout.entryBytes)
    for column in order where columns[column].count > 0 {
      columns[column].encode(rowCount: count, name: names[column], to: &output, directory: &directory)
    }
    // Positions were counted from the output's start; the directory counts them from the payload's.
    for entry in 0..<present {
      let at = UnsafeMutableRawPointer(directory.base + entry * BatchLayout.entryBytes + 8)
      at.storeBytes(of: at.loadUnaligned(as: UInt32.self) - UInt32(payloadStart), as: UInt32.self)
    }
    (output.base + directoryStart).update(from: directory.base, count: directory.count)

    let times = UnsafeBufferPointer(start: columns[BuiltIn.time].values.base, count: count)
    var first = Int64.max, last = Int64.min
    for time in times {
      first = min(first, Int64(bitPattern: time))
      last = max(last, Int64(bitPattern: time))
    }
    let bytes = UnsafeMutableRawBufferPointer(start: output.base, count: output.count)
    let payload = UnsafeRawBufferPointer(rebasing: UnsafeRawBufferPointer(bytes)[payloadStart...])
    let header = BatchHeader(
      partition: partition, baseOffset: .zero, count: count, codec: .none, firstEventTime: Timestamp(nanoseconds: first),
      lastEventTime: Timestamp(nanoseconds: last), appendTime: Timestamp(nanoseconds: 0), storedBytes: payload.count,
      inflatedBytes: payload.count, payloadChecksum: checksum(payload))
    header.write(to: bytes)
    do {
      return try ColumnBatch(encoded: Array(bytes), isTrusted: true)
    } catch {
      preconditionFailure("the builder made a batch that does not decode: \(error)")
    }
  }
}
