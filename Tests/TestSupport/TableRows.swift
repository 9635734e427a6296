import Events

/// Rows in memory: columns of values by path, strings interned as a column batch does.
public struct TableRows: RowSource {
  public enum Cell: Sendable {
    case missing, null, object
    case bool(Bool)
    case int(Int64)
    case uint(UInt64)
    case double(Double)
    case string(String)
    case raw(String)
    case time(Int64)
  }

  public private(set) var rowCount: Int
  private var columns: [ValuePath: ValueVector] = [:]
  private var strings: [[UInt8]] = []
  private var codes: [String: Int] = [:]
  /// Gives every string a code of its own, as `RowSource` allows.
  public var sharesCodes = true

  public init(rowCount: Int, sharesCodes: Bool = true) {
    self.rowCount = rowCount
    self.sharesCodes = sharesCodes
  }

  /// One column from `data.` paths or attributes, by their text.
  public init(_ columns: KeyValuePairs<String, [Cell]>, sharesCodes: Bool = true) {
    self.init(rowCount: columns.first?.value.count ?? 0, sharesCodes: sharesCodes)
    for (name, cells) in columns { self[name] = cells }
  }

  public subscript(name: String) -> [Cell] {
    get { [] }
    set {
      precondition(newValue.count == rowCount)
      let parts = name.split(separator: ".").map(String.init)
      let path: ValuePath = parts[0] == "data" ? .data(Array(parts.dropFirst())) : .attribute(name)
      var vector = ValueVector(repeating: .missing, count: rowCount)
      for (row, cell) in newValue.enumerated() { (vector.kinds[row], vector.bits[row]) = encode(cell) }
      vector.uniformKind = vector.kinds.dropFirst().allSatisfy { $0 == vector.kinds[0] } ? vector.kinds.first : nil
      columns[path] = vector
    }
  }

  private mutating func encode(_ cell: Cell) -> (ValueKind, UInt64) {
    switch cell {
    case .missing: (.missing, 0)
    case .null: (.null, 0)
    case .object: (.object, 0)
    case .bool(let value): (.bool, value ? 1 : 0)
    case .int(let value): (.int, UInt64(bitPattern: value))
    case .uint(let value): (.uint, value)
    case .double(let value): (.double, value.bitPattern)
    case .string(let value): (.string, UInt64(code(value)))
    case .raw(let value): (.raw, UInt64(code(value)))
    case .time(let value): (.time, UInt64(bitPattern: value))
    }
  }

  private mutating func code(_ text: String) -> Int {
    if sharesCodes, let known = codes[text] { return known }
    strings.append(Array(text.utf8))
    codes[text] = strings.count - 1
    return strings.count - 1
  }

  public func load(_ path: ValuePath, into vector: inout ValueVector) {
    if let known = columns[path] {
      vector = known
      return
    }
    vector.reset(to: .missing, count: rowCount)
    // As in a column batch: a path above a member with a value is an object.
    guard case .data(let members) = path else { return }
    for case (.data(let other), let column) in columns where other.count > members.count && other.starts(with: members) {
      for row in 0..<rowCount where column.kinds[row] != .missing { vector.kinds[row] = .object }
    }
    vector.uniformKind = vector.kinds.dropFirst().allSatisfy { $0 == vector.kinds[0] } ? vector.kinds.first : nil
  }

  public var stringCount: Int { strings.count }

  public func withString<R>(_ code: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try strings[code].withUnsafeBytes(body)
  }
}
