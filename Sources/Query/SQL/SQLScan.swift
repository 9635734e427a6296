import CSQLite
import Events
import Expressions

/// One scan of a table's rows.
final class SQLScan {
  private let table: SQLTable
  /// The rows found by an index; nil scans all.
  private var found: [Int]?
  private var place = 0
  private var keys: [ResultValue]?

  init(_ table: SQLTable) { self.table = table }

  /// - Parameters:
  ///   - number: The plan's number.
  ///   - values: A `sqlite3_value` for each of its arguments.
  /// - Returns: The result code for SQLite.
  func begin(plan number: Int, _ values: [OpaquePointer?]) -> Int32 {
    place = 0
    keys = nil
    found = nil
    // The rows were not read, or not all that the plan needs: a defect.
    guard let rows = table.rows, table.plans.indices.contains(number), case let plan = table.plans[number],
      table.wanted?.contains(plan.bounds) ?? false, values.count >= plan.columns.count
    else { return SQLITE_INTERNAL }
    guard !plan.columns.isEmpty else { return SQLITE_OK }
    let buckets = zip(plan.columns, values).map { SQLBucket(sqlite: $1, isTime: table.isTime($0)) }
    if buckets.contains(.null) {
      found = []
      return SQLITE_OK
    }
    found = rows.rows(where: plan.columns, are: buckets) { table.guardian?.mayContinue() ?? true }
    return found == nil ? SQLITE_INTERRUPT : SQLITE_OK
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

  /// Whether the column has nothing but booleans, which are numbers in SQL.
  func isBoolean(_ column: Int) -> Bool {
    table.schema.columns.indices.contains(column) && table.schema.columns[column].type == .boolean
  }
}

extension SQLBucket {
  /// - Parameters:
  ///   - value: A `sqlite3_value`.
  ///   - isTime: Whether it is compared as a time.
  fileprivate init(sqlite value: OpaquePointer?, isTime: Bool) {
    switch sqlite3_value_type(value) {
    case SQLITE_NULL: self = .null
    case SQLITE_BLOB:
      let boolean = SQLText.blob(value).flatMap { SQLBoolean.value(UnsafeRawBufferPointer($0)) }
      self = boolean.map { SQLBucket.bool($0) } ?? .other
    case _ where isTime:
      let time = SQLText.bytes(value).flatMap { $0.withUnsafeBytes { SQLTime.nanoseconds($0) } }
      self = time.map { SQLBucket.time($0) } ?? .other
    case SQLITE_INTEGER, SQLITE_FLOAT: self = .number(sqlite3_value_double(value))
    default: self.init(text: SQLText.value(value) ?? "")
    }
  }
}

/// Texts on their way to and from SQLite; they may hold NULs.
enum SQLText {
  /// SQLite copies the bytes.
  static var transient: sqlite3_destructor_type? { unsafeBitCast(-1, to: sqlite3_destructor_type.self) }

  /// - Parameter value: A `sqlite3_value`.
  static func value(_ value: OpaquePointer?) -> String? { pointer(value).map { String(decoding: $0, as: UTF8.self) } }

  /// A text's bytes; nil for other values.
  static func bytes(_ value: OpaquePointer?) -> [UInt8]? {
    sqlite3_value_type(value) == SQLITE_TEXT ? pointer(value).map { Array($0) } : nil
  }

  /// A value as text, valid until the next call on it; nil for NULL.
  static func pointer(_ value: OpaquePointer?) -> UnsafeBufferPointer<UInt8>? {
    guard let text = sqlite3_value_text(value) else { return nil }
    return UnsafeBufferPointer(start: text, count: Int(sqlite3_value_bytes(value)))
  }

  /// A value's bytes as a blob, valid until the next call on it; nil for NULL.
  static func blob(_ value: OpaquePointer?) -> UnsafeBufferPointer<UInt8>? {
    guard sqlite3_value_type(value) != SQLITE_NULL else { return nil }
    let blob = sqlite3_value_blob(value)?.assumingMemoryBound(to: UInt8.self)
    return UnsafeBufferPointer(start: blob, count: blob == nil ? 0 : Int(sqlite3_value_bytes(value)))
  }

  /// SQLite has no number for it: as a double or as text it would equal its neighbours, or stand in the wrong place among them.
  static func beyondInteger(_ value: UInt64) -> String {
    "\(value) is beyond SQL's integers, which end at 9223372036854775807: leave its column or its row out, or ask for the view's rows"
  }

  /// The statement ends with this error.
  /// - Parameter context: A `sqlite3_context`.
  static func refuse(_ context: OpaquePointer?, _ message: String) {
    sqlite3_result_error(context, message, Int32(clamping: message.utf8.count))
  }

  /// - Parameter context: A `sqlite3_context`.
  static func result(_ context: OpaquePointer?, _ text: String) {
    text.withCString { sqlite3_result_text(context, $0, Int32(clamping: text.utf8.count), transient) }
  }

  /// - Parameter context: A `sqlite3_context`.
  static func result(_ context: OpaquePointer?, _ bytes: some Collection<UInt8>) {
    let bytes = ContiguousArray(bytes)
    bytes.withUnsafeBufferPointer { bytes in
      bytes.withMemoryRebound(to: CChar.self) { bytes in
        if let start = bytes.baseAddress {
          sqlite3_result_text(context, start, Int32(clamping: bytes.count), transient)
        } else {
          sqlite3_result_text(context, "", 0, transient)
        }
      }
    }
  }
}

extension SQLBoolean {
  /// - Parameter context: A `sqlite3_context`.
  static func result(_ context: OpaquePointer?, _ value: Bool) {
    var byte = byte(value)
    sqlite3_result_blob(context, &byte, 1, SQLText.transient)
  }
}
