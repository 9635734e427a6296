import CSQLite
import Events
import Views

/// The virtual table through which SQLite reads a view: a `sqlite3_module` without tables of its own, so that a view's name is a table and
/// nothing needs to be created. Source: https://www.sqlite.org/vtab.html, "Eponymous-only virtual tables".
///
/// Bounds that are constants (times, texts that keys equal) are noted while the statement is prepared; the rows they leave are read from the
/// store before it runs. SQLite checks every condition again, so bounds may be wide but never narrow.
enum SQLTableModule {
  /// Lives as long as the process, as connections may.
  nonisolated(unsafe) static let module: UnsafePointer<sqlite3_module> = {
    let module = UnsafeMutablePointer<sqlite3_module>.allocate(capacity: 1)
    var value = sqlite3_module()
    value.iVersion = 1
    value.xConnect = connect
    value.xBestIndex = plan
    value.xDisconnect = disconnect
    value.xOpen = open
    value.xClose = close
    value.xFilter = filter
    value.xNext = next
    value.xEof = isAtEnd
    value.xColumn = column
    value.xRowid = rowid
    module.initialize(to: value)
    return UnsafePointer(module)
  }()

  /// Makes the view a table of the connection.
  /// - Parameter table: Must outlive the connection.
  static func add(_ table: SQLTable, to connection: OpaquePointer) -> Int32 {
    sqlite3_create_module_v2(connection, table.definition.name, module, Unmanaged.passUnretained(table).toOpaque(), nil)
  }

  /// What SQLite holds of a table. It must begin with SQLite's own part.
  private struct VirtualTable {
    var base = sqlite3_vtab()
    var table: Unmanaged<SQLTable>
  }

  /// What SQLite holds of a scan. It must begin with SQLite's own part.
  private struct Cursor {
    var base = sqlite3_vtab_cursor()
    var scan: Unmanaged<SQLScan>
  }

  private static func table(_ pointer: UnsafeMutablePointer<sqlite3_vtab>) -> SQLTable {
    UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: VirtualTable.self).pointee.table.takeUnretainedValue()
  }

  private static func scan(_ pointer: UnsafeMutablePointer<sqlite3_vtab_cursor>) -> SQLScan {
    UnsafeMutableRawPointer(pointer).assumingMemoryBound(to: Cursor.self).pointee.scan.takeUnretainedValue()
  }

  private static let connect:
    @convention(c) (
      OpaquePointer?, UnsafeMutableRawPointer?, Int32, UnsafePointer<UnsafePointer<CChar>?>?,
      UnsafeMutablePointer<UnsafeMutablePointer<sqlite3_vtab>?>?, UnsafeMutablePointer<UnsafeMutablePointer<CChar>?>?
    ) -> Int32 = { connection, context, _, _, result, _ in
      guard let context, let result else { return SQLITE_MISUSE }
      let table = Unmanaged<SQLTable>.fromOpaque(context)
      let declared = table.takeUnretainedValue()
      declared.guardian?.isDeclaring = true
      let status = sqlite3_declare_vtab(connection, declared.declaration)
      declared.guardian?.isDeclaring = false
      guard status == SQLITE_OK else { return status }
      let made = UnsafeMutablePointer<VirtualTable>.allocate(capacity: 1)
      made.initialize(to: VirtualTable(table: table))
      result.pointee = UnsafeMutableRawPointer(made).assumingMemoryBound(to: sqlite3_vtab.self)
      return SQLITE_OK
    }

  private static let disconnect: @convention(c) (UnsafeMutablePointer<sqlite3_vtab>?) -> Int32 = { pointer in
    UnsafeMutableRawPointer(pointer)?.assumingMemoryBound(to: VirtualTable.self).deallocate()
    return SQLITE_OK
  }

  /// Notes what the scan needs, and takes the equalities that an index over the rows can answer.
  private static let plan:
    @convention(c) (UnsafeMutablePointer<sqlite3_vtab>?, UnsafeMutablePointer<sqlite3_index_info>?) -> Int32 = {
      pointer, info in
      guard let pointer, let info else { return SQLITE_MISUSE }
      let table = table(pointer)
      let keyEnd = 3 + table.definition.keys.count
      var bounds = SQLBounds()
      var equal: [Int] = []
      for index in 0..<Int(info.pointee.nConstraint) {
        let constraint = info.pointee.aConstraint[index]
        guard constraint.usable != 0 else { continue }
        let column = Int(constraint.iColumn)
        // Under another collation than the column's own, such as NOCASE, other values are equal.
        let collation = sqlite3_vtab_collation(info, Int32(index)).map { String(cString: $0) }
        guard collation == (column == 0 ? SQLTime.collation : "BINARY") else { continue }
        var value: OpaquePointer?
        if sqlite3_vtab_rhs_value(info, Int32(index), &value) == SQLITE_OK, let value,
          sqlite3_value_type(value) == SQLITE_TEXT, let text = SQLText.value(value)
        {
          bounds.narrow(column, Int32(constraint.op), text, table.schema)
        }
        let isIndexed = column == 0 || (3..<keyEnd).contains(column)
        if Int32(constraint.op) == SQLITE_INDEX_CONSTRAINT_EQ, isIndexed, !equal.contains(column) {
          equal.append(column)
          info.pointee.aConstraintUsage[index].argvIndex = Int32(equal.count)
        }
      }
      table.want(bounds)
      info.pointee.estimatedRows = 100_000
      for _ in equal { info.pointee.estimatedRows = max(1, info.pointee.estimatedRows / 50) }
      info.pointee.estimatedCost = Double(info.pointee.estimatedRows) + 10
      guard !equal.isEmpty else { return SQLITE_OK }
      let plan = Array(equal.map(String.init).joined(separator: ",").utf8CString)
      guard let copy = sqlite3_malloc(Int32(plan.count)) else { return SQLITE_NOMEM }
      plan.withUnsafeBytes { copy.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: plan.count) }
      info.pointee.idxStr = copy.assumingMemoryBound(to: CChar.self)
      info.pointee.needToFreeIdxStr = 1
      return SQLITE_OK
    }

  private static let open:
    @convention(c) (UnsafeMutablePointer<sqlite3_vtab>?, UnsafeMutablePointer<UnsafeMutablePointer<sqlite3_vtab_cursor>?>?) ->
      Int32 = { pointer, result in
        guard let pointer, let result else { return SQLITE_MISUSE }
        let made = UnsafeMutablePointer<Cursor>.allocate(capacity: 1)
        made.initialize(to: Cursor(scan: Unmanaged.passRetained(SQLScan(table(pointer)))))
        result.pointee = UnsafeMutableRawPointer(made).assumingMemoryBound(to: sqlite3_vtab_cursor.self)
        return SQLITE_OK
      }

  private static let close: @convention(c) (UnsafeMutablePointer<sqlite3_vtab_cursor>?) -> Int32 = { pointer in
    guard let cursor = UnsafeMutableRawPointer(pointer)?.assumingMemoryBound(to: Cursor.self) else { return SQLITE_OK }
    cursor.pointee.scan.release()
    cursor.deallocate()
    return SQLITE_OK
  }

  private static let filter:
    @convention(c) (
      UnsafeMutablePointer<sqlite3_vtab_cursor>?, Int32, UnsafePointer<CChar>?, Int32, UnsafeMutablePointer<OpaquePointer?>?
    ) -> Int32 = { pointer, _, plan, count, values in
      guard let pointer else { return SQLITE_MISUSE }
      let columns = plan.map { String(cString: $0).split(separator: ",").compactMap { Int($0) } } ?? []
      let buckets = (0..<Int(count)).map { SQLBucket(sqlite: values?[$0]) }
      return scan(pointer).begin(columns, buckets) ? SQLITE_OK : SQLITE_MISUSE
    }

  private static let next: @convention(c) (UnsafeMutablePointer<sqlite3_vtab_cursor>?) -> Int32 = { pointer in
    guard let pointer else { return SQLITE_MISUSE }
    scan(pointer).advance()
    return SQLITE_OK
  }

  private static let isAtEnd: @convention(c) (UnsafeMutablePointer<sqlite3_vtab_cursor>?) -> Int32 = { pointer in
    guard let pointer else { return 1 }
    return scan(pointer).row == nil ? 1 : 0
  }

  private static let column: @convention(c) (UnsafeMutablePointer<sqlite3_vtab_cursor>?, OpaquePointer?, Int32) -> Int32 = {
    pointer, context, number in
    guard let pointer else { return SQLITE_MISUSE }
    switch scan(pointer).value(Int(number)) {
    case .null: sqlite3_result_null(context)
    case .bool(let value): sqlite3_result_int64(context, value ? 1 : 0)
    case .int(let value): sqlite3_result_int64(context, value)
    case .double(let value): sqlite3_result_double(context, value)
    case .string(let value): SQLText.result(context, value)
    case .time(let value): SQLText.result(context, value.description)
    }
    return SQLITE_OK
  }

  private static let rowid:
    @convention(c) (UnsafeMutablePointer<sqlite3_vtab_cursor>?, UnsafeMutablePointer<sqlite3_int64>?) -> Int32 = {
      pointer, result in
      guard let pointer, let result else { return SQLITE_MISUSE }
      result.pointee = Int64(scan(pointer).row ?? -1)
      return SQLITE_OK
    }
}

extension SQLBounds {
  /// Takes in a condition between a column and a constant text, as far as it says which rows to read.
  fileprivate mutating func narrow(_ column: Int, _ operation: Int32, _ text: String, _ schema: ViewSchema) {
    if column == 0 {
      guard let time = SQLTime.nanoseconds(text) else { return }
      let next = time == .max ? time : time + 1
      switch operation {
      case SQLITE_INDEX_CONSTRAINT_EQ:
        from = max(from ?? .min, time)
        to = min(to ?? .max, next)
      case SQLITE_INDEX_CONSTRAINT_GE: from = max(from ?? .min, time)
      case SQLITE_INDEX_CONSTRAINT_GT: from = max(from ?? .min, next)
      case SQLITE_INDEX_CONSTRAINT_LT: to = min(to ?? .max, time)
      case SQLITE_INDEX_CONSTRAINT_LE: to = min(to ?? .max, next)
      default: break
      }
    } else if operation == SQLITE_INDEX_CONSTRAINT_EQ, schema.columns.indices.contains(column) {
      let column = schema.columns[column]
      guard column.role == .key, column.type == .string else { return }
      keys[UTF8Text(column.name)] = UTF8Text(text)
    }
  }
}

extension SQLBucket {
  /// - Parameter value: A `sqlite3_value`.
  fileprivate init(sqlite value: OpaquePointer?) {
    switch sqlite3_value_type(value) {
    case SQLITE_INTEGER, SQLITE_FLOAT: self = .number(sqlite3_value_double(value))
    case SQLITE_TEXT: self.init(text: SQLText.value(value) ?? "")
    default: self = .null
    }
  }
}

/// Texts on their way to and from SQLite; they may hold NULs.
enum SQLText {
  /// - Parameter value: A `sqlite3_value`.
  static func value(_ value: OpaquePointer?) -> String? {
    guard let text = sqlite3_value_text(value) else { return nil }
    return String(decoding: UnsafeBufferPointer(start: text, count: Int(sqlite3_value_bytes(value))), as: UTF8.self)
  }

  /// - Parameter context: A `sqlite3_context`.
  static func result(_ context: OpaquePointer?, _ text: String) {
    // SQLite copies the bytes.
    let transient = unsafeBitCast(-1, to: sqlite3_destructor_type.self)
    text.withCString { sqlite3_result_text(context, $0, Int32(text.utf8.count), transient) }
  }
}

/// One scan of a table's rows.
final class SQLScan {
  private let table: SQLTable
  /// Of the rows found by an index; nil scans all.
  private var found: [Int]?
  private var place = 0
  private var keys: [ResultValue]?

  init(_ table: SQLTable) { self.table = table }

  /// - Returns: False when the rows were not read: a defect.
  func begin(_ columns: [Int], _ values: [SQLBucket]) -> Bool {
    guard let rows = table.rows else { return false }
    place = 0
    keys = nil
    found = columns.isEmpty ? nil : values.contains(.null) ? [] : rows.rows(where: columns, are: values)
    return true
  }

  /// Nil at the end.
  var row: Int? {
    if let found { return place < found.count ? found[place] : nil }
    return place < table.rows?.rows.count ?? 0 ? place : nil
  }

  func advance() {
    place += 1
    keys = nil
  }

  func value(_ column: Int) -> ResultValue {
    guard let row, let rows = table.rows else { return .null }
    if keys == nil { keys = rows.rows.keys(row) }
    return rows.value(row: row, column: column, keys: keys ?? [])
  }
}
