import CSQLite
import Events
import Views

/// The virtual table through which SQLite reads a view: a `sqlite3_module` without tables of its own, so that a view's name is a
/// table and nothing needs to be created. Source: https://www.sqlite.org/vtab.html, "Eponymous-only virtual tables".
///
/// Bounds that are constants (times, texts that keys equal) belong to a plan. The plans that SQLite takes are known when the
/// statement is prepared; the rows that they need are read from the store before it runs. SQLite checks every condition again, so
/// bounds may be wide but never narrow.
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

  /// SQLite's handle of a table. It must begin with SQLite's own part.
  private struct VirtualTable {
    var base = sqlite3_vtab()
    var table: Unmanaged<SQLTable>
  }

  /// SQLite's handle of a scan. It must begin with SQLite's own part.
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

  /// Takes the conditions that an index over the rows can answer, and those that bound the rows to read from the store.
  private static let plan:
    @convention(c) (UnsafeMutablePointer<sqlite3_vtab>?, UnsafeMutablePointer<sqlite3_index_info>?) -> Int32 = {
      pointer, info in
      guard let pointer, let info else { return SQLITE_MISUSE }
      let table = table(pointer)
      guard table.guardian?.mayContinue() ?? true else { return SQLITE_INTERRUPT }
      let keyEnd = 3 + table.definition.keys.count
      var plan = SQLPlan()
      var bounding: [Int] = []
      for index in 0..<Int(info.pointee.nConstraint) {
        let constraint = info.pointee.aConstraint[index]
        guard constraint.usable != 0 else { continue }
        let column = Int(constraint.iColumn)
        // Under another collation than the column's own, such as NOCASE, other values are equal.
        let collation = sqlite3_vtab_collation(info, Int32(index)).map { String(cString: $0) }
        guard collation == (table.isTime(column) ? SQLTime.collation : "BINARY") else { continue }
        var value: OpaquePointer?
        if sqlite3_vtab_rhs_value(info, Int32(index), &value) == SQLITE_OK, let value, let text = SQLText.bytes(value),
          plan.bounds.narrow(column, Int32(constraint.op), text, table.schema)
        {
          bounding.append(index)
        }
        let isIndexed = column == 0 || (3..<keyEnd).contains(column)
        guard Int32(constraint.op) == SQLITE_INDEX_CONSTRAINT_EQ, isIndexed, !plan.columns.contains(column) else { continue }
        plan.columns.append(column)
        info.pointee.aConstraintUsage[index].argvIndex = Int32(plan.columns.count)
      }
      // SQLite checks every condition again: none is omitted. A condition that bounds the plan is its argument nonetheless, or
      // SQLite would believe that the plan makes no use of it, and take it where the condition does not hold.
      var arguments = Int32(plan.columns.count)
      for index in bounding where info.pointee.aConstraintUsage[index].argvIndex == 0 {
        arguments += 1
        info.pointee.aConstraintUsage[index].argvIndex = arguments
      }
      var rows: Int64 = 100_000
      for _ in plan.columns { rows = max(1, rows / 50) }
      if arguments > Int32(plan.columns.count) { rows = max(1, rows / 4) }
      info.pointee.estimatedRows = rows
      info.pointee.estimatedCost = Double(rows) + 10
      return number(table.offer(plan), of: table, info)
    }

  /// Passes the plan's number to the scans that take it, and to the program's listing.
  private static func number(_ plan: Int, of table: SQLTable, _ info: UnsafeMutablePointer<sqlite3_index_info>) -> Int32 {
    let text = Array("\(SQLScanName(view: table.definition.name, plan: plan))".utf8CString)
    guard let copy = sqlite3_malloc(Int32(text.count)) else { return SQLITE_NOMEM }
    text.withUnsafeBytes { copy.copyMemory(from: $0.baseAddress.unsafelyUnwrapped, byteCount: text.count) }
    info.pointee.idxStr = copy.assumingMemoryBound(to: CChar.self)
    info.pointee.needToFreeIdxStr = 1
    info.pointee.idxNum = Int32(plan)
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
    ) -> Int32 = { pointer, plan, _, count, values in
      guard let pointer else { return SQLITE_MISUSE }
      return scan(pointer).begin(plan: Int(plan), (0..<Int(count)).map { values?[$0] })
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
    case .bool(let value) where scan(pointer).isBoolean(Int(number)): sqlite3_result_int64(context, value ? 1 : 0)
    case .bool(let value): SQLBoolean.result(context, value)
    case .int(let value): sqlite3_result_int64(context, value)
    case .uint(let value): SQLText.refuse(context, SQLText.beyondInteger(value))
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

/// The name of a scan in a program's listing: the view, and the number of the plan that was taken.
struct SQLScanName: CustomStringConvertible {
  var view: String
  var plan: Int

  init(view: String, plan: Int) { (self.view, self.plan) = (view, plan) }

  /// Nil for any other text.
  init?(_ text: String) {
    guard let blank = text.lastIndex(of: " "), let plan = Int(text[text.index(after: blank)...]) else { return nil }
    self.init(view: String(text[..<blank]), plan: plan)
  }

  var description: String { "\(view) \(plan)" }
}
