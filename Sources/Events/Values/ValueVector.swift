/// The kind of value in a row of a `ValueVector`.
public enum ValueKind: UInt8, Sendable, BitwiseCopyable {
  /// The event has no such member.
  case missing = 0
  /// An expression failed on this row.
  case error
  case null
  /// `bits` is 0 or 1.
  case bool
  /// `bits` is the `Int64`'s bit pattern.
  case int
  /// `bits` is the `Double`'s bit pattern; never NaN or infinite when it comes from an event.
  case double
  /// `bits` is a code in the row source's string table.
  case string
  /// JSON text that fits no other kind (an array, an empty object, an integer beyond Int64); `bits` is a code in the string
  /// table.
  case raw
  /// The path names an object whose members have columns of their own; `bits` means nothing.
  case object
  /// A point in time; `bits` is the `Int64` of its nanoseconds.
  case time
  /// An integer beyond `Int64`: `bits` is the number, 2^63 or more. Smaller ones are `int`, so that a number has one kind.
  case uint
}

/// One value a row, for a batch of rows: the input of expressions and aggregates.
public struct ValueVector: Sendable {
  public var kinds: [ValueKind]
  public var bits: [UInt64]
  /// Set when every row has this kind, so that leaf loops need not look at each.
  public var uniformKind: ValueKind?

  public init() {
    kinds = []
    bits = []
  }

  public init(repeating kind: ValueKind, bits pattern: UInt64 = 0, count: Int) {
    kinds = Array(repeating: kind, count: count)
    bits = Array(repeating: pattern, count: count)
    uniformKind = kind
  }

  @inlinable public var count: Int { kinds.count }

  /// Makes every row `kind`, keeping the storage.
  public mutating func reset(to kind: ValueKind, count: Int) {
    if kinds.count == count {
      for row in 0..<count { kinds[row] = kind }
      for row in 0..<count { bits[row] = 0 }
    } else {
      kinds = Array(repeating: kind, count: count)
      bits = Array(repeating: 0, count: count)
    }
    uniformKind = kind
  }

  /// Makes every row this value, keeping the storage.
  @inlinable public mutating func fill(_ kind: ValueKind, _ pattern: UInt64, count: Int) {
    reset(to: kind, count: count)
    guard pattern != 0 else { return }
    bits.withUnsafeMutableBufferPointer { bits in
      for row in 0..<count { bits[row] = pattern }
    }
  }

  /// The columns' memory, for leaf loops: neither array moves while `body` runs.
  @inlinable @inline(__always) public mutating func withColumns<R>(
    _ body: (UnsafeMutablePointer<ValueKind>, UnsafeMutablePointer<UInt64>) -> R
  ) -> R? {
    kinds.withUnsafeMutableBufferPointer { kinds in
      bits.withUnsafeMutableBufferPointer { bits in
        guard let kinds = kinds.baseAddress, let bits = bits.baseAddress else { return nil }
        return body(kinds, bits)
      }
    }
  }

  @inlinable @inline(__always) public func withColumns<R>(_ body: (UnsafePointer<ValueKind>, UnsafePointer<UInt64>) -> R) -> R? {
    kinds.withUnsafeBufferPointer { kinds in
      bits.withUnsafeBufferPointer { bits in
        guard let kinds = kinds.baseAddress, let bits = bits.baseAddress else { return nil }
        return body(kinds, bits)
      }
    }
  }
}

/// The path of a value within a row.
public enum ValuePath: Sendable, CustomStringConvertible {
  /// A CloudEvents attribute (`source`, `type`, `id`, `time`, `subject`, `sequence`, `epoch`, an extension) or a result column.
  case attribute(String)
  /// A path of member names below `data`; empty for `data` itself.
  case data([String])

  public var description: String {
    switch self {
    case .attribute(let name): name
    case .data(let members): (["data"] + members).joined(separator: ".")
    }
  }

  /// The path's last part: the name of a key column made from it.
  public var lastPart: String {
    switch self {
    case .attribute(let name): name
    case .data(let members): members.last ?? "data"
    }
  }
}

extension ValuePath: Hashable {
  /// Names are compared by their bytes.
  public static func == (a: ValuePath, b: ValuePath) -> Bool {
    switch (a, b) {
    case (.attribute(let x), .attribute(let y)): x.hasSameBytes(as: y)
    case (.data(let x), .data(let y)): x.count == y.count && zip(x, y).allSatisfy { $0.hasSameBytes(as: $1) }
    case (.attribute, .data), (.data, .attribute): false
    }
  }

  public func hash(into hasher: inout Hasher) {
    switch self {
    case .attribute(let name): hasher.combine(UTF8Text(name))
    case .data(let members):
      hasher.combine(members.count)
      for member in members { hasher.combine(UTF8Text(member)) }
    }
  }
}

/// Rows that expressions read: a column batch's events, or a result's rows.
public protocol RowSource {
  var rowCount: Int { get }
  /// Fills `vector` with one value a row; rows without a value become `.missing`.
  func load(_ path: ValuePath, into vector: inout ValueVector)
  /// Number of strings in the table; codes are `0 ..< stringCount`. Equal strings may share a code, and do in a column batch.
  var stringCount: Int { get }
  /// The UTF-8 of the string with this code.
  func withString<R>(_ code: Int, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R
}
