import Events

/// The order of two values, as a small number so that a comparison is a look into a table of bits.
package enum Order {
  package static let less: UInt8 = 0
  package static let equal: UInt8 = 1
  package static let greater: UInt8 = 2
  /// One of them is NaN.
  static let unordered: UInt8 = 3
  /// The kinds have no common order: unequal.
  static let different: UInt8 = 4
  /// Null and null: equal, but without an order.
  static let bothNull: UInt8 = 5
  /// A missing field, an error, or two lists or objects, which this subset does not compare.
  static let failed: UInt8 = 6
  /// Two strings: the caller compares them.
  static let strings: UInt8 = 7

  @inline(__always) static func of(_ a: Double, _ b: Double) -> UInt8 {
    a < b ? less : a == b ? equal : a > b ? greater : unordered
  }

  @inline(__always) static func of<T: Comparable>(_ a: T, _ b: T) -> UInt8 {
    a < b ? less : a == b ? equal : greater
  }

  /// Exact for every pair, also where the int has no double: 9007199254740993 > 9007199254740992.0.
  static func of(_ a: Int64, _ b: Double) -> UInt8 {
    guard !b.isNaN else { return unordered }
    if b >= 0x1p63 { return less }
    if b < -0x1p63 { return greater }
    let whole = Int64(b)  // towards zero
    if a != whole { return a < whole ? less : greater }
    let fraction = b - Double(whole)  // exact: `whole` came from a double
    return fraction > 0 ? less : fraction < 0 ? greater : equal
  }

  /// Exact, too.
  static func of(_ a: UInt64, _ b: Double) -> UInt8 {
    guard !b.isNaN else { return unordered }
    if b >= 0x1p64 { return less }
    if b < 0 { return greater }
    let whole = UInt64(b)  // towards zero
    if a != whole { return a < whole ? less : greater }
    return b > Double(whole) ? less : equal
  }

  private static func mirrored(_ order: UInt8) -> UInt8 { order == less ? greater : order == greater ? less : order }

  /// Bytes compare as code points do, since UTF-8 keeps their order.
  package static func of(_ a: UnsafeRawBufferPointer, _ b: UnsafeRawBufferPointer) -> UInt8 {
    let count = min(a.count, b.count)
    // An empty buffer has no address, and memcmp wants one.
    let result = count == 0 ? 0 : compareBytes(a.baseAddress!, b.baseAddress!, count)
    return result == 0 ? of(a.count, b.count) : result < 0 ? less : greater
  }

  /// The order of two values of `ValueVector`s.
  @inline(__always) package static func of(_ aKind: ValueKind, _ a: UInt64, _ bKind: ValueKind, _ b: UInt64) -> UInt8 {
    if aKind == bKind {
      switch aKind {
      case .double: return of(Double(bitPattern: a), Double(bitPattern: b))
      case .int, .time: return of(Int64(bitPattern: a), Int64(bitPattern: b))
      case .bool, .uint: return of(a, b)
      case .string: return a == b ? equal : strings
      case .null: return bothNull
      case .missing, .error, .raw, .object: return failed
      }
    }
    return ofMixed(aKind, a, bKind, b)
  }

  private static func ofMixed(_ aKind: ValueKind, _ a: UInt64, _ bKind: ValueKind, _ b: UInt64) -> UInt8 {
    switch (aKind, bKind) {
    case (.int, .double): of(Int64(bitPattern: a), Double(bitPattern: b))
    case (.double, .int): mirrored(of(Int64(bitPattern: b), Double(bitPattern: a)))
    case (.uint, .double): of(a, Double(bitPattern: b))
    case (.double, .uint): mirrored(of(b, Double(bitPattern: a)))
    case (.int, .uint): less
    case (.uint, .int): greater
    case (.missing, _), (.error, _), (_, .missing), (_, .error): failed
    case (.raw, .object), (.object, .raw): failed
    case (.null, _), (.bool, _), (.int, _), (.uint, _), (.double, _), (.string, _), (.time, _), (.raw, _), (.object, _): different
    }
  }
}

/// A comparison operator as two tables of bits over `Order`.
struct ComparisonTable: Sendable {
  /// Orders for which the comparison is true.
  let truth: UInt8
  /// Orders for which it is an error.
  let failure: UInt8
  private let isTrueIfLess, isTrueIfEqual, isTrueIfGreater, isTrueIfUnordered: UInt64

  init(_ op: ComparisonOperator) {
    func bits(_ orders: UInt8...) -> UInt8 { orders.reduce(0) { $0 | 1 << $1 } }
    switch op {
    case .equal: truth = bits(Order.equal, Order.bothNull)
    case .notEqual: truth = bits(Order.less, Order.greater, Order.unordered, Order.different)
    case .less: truth = bits(Order.less)
    case .lessOrEqual: truth = bits(Order.less, Order.equal)
    case .greater: truth = bits(Order.greater)
    case .greaterOrEqual: truth = bits(Order.greater, Order.equal)
    }
    isTrueIfLess = UInt64(truth >> Order.less & 1)
    isTrueIfEqual = UInt64(truth >> Order.equal & 1)
    isTrueIfGreater = UInt64(truth >> Order.greater & 1)
    isTrueIfUnordered = UInt64(truth >> Order.unordered & 1)
    switch op {
    case .equal, .notEqual: failure = bits(Order.failed)
    case .less, .lessOrEqual, .greater, .greaterOrEqual: failure = bits(Order.failed, Order.different, Order.bothNull)
    }
  }

  /// 1 when the comparison holds, else 0; without a branch, since data without a pattern would mispredict it every other row.
  @inline(__always) func holds<T: Comparable>(_ a: T, _ b: T) -> UInt64 {
    let less: UInt64 = a < b ? 1 : 0
    let equal: UInt64 = a == b ? 1 : 0
    let greater: UInt64 = a > b ? 1 : 0
    return less & isTrueIfLess | equal & isTrueIfEqual | greater & isTrueIfGreater
      | (1 ^ (less | equal | greater)) & isTrueIfUnordered
  }
}
