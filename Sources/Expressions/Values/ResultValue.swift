import Events

/// One value of a result row, of a key, or of a literal in an expression.
public enum ResultValue: Sendable {
  case null
  case bool(Bool)
  case int(Int64)
  /// 2^63 or more: smaller ones are `int`.
  case uint(UInt64)
  case double(Double)
  case string(String)
  case time(Timestamp)

  /// Appends the JSON form: doubles in the shortest text that reads back as the same double, times as RFC 3339 strings.
  /// JSON has no NaN and no infinity, so those become `null`.
  public func writeJSON(to output: inout [UInt8]) {
    switch self {
    case .null: output.append(contentsOf: "null".utf8)
    case .bool(let value): output.append(contentsOf: (value ? "true" : "false").utf8)
    case .int(let value): output.append(contentsOf: value.description.utf8)
    case .uint(let value): output.append(contentsOf: value.description.utf8)
    case .double(let value): output.append(contentsOf: (value.isFinite ? value.description : "null").utf8)
    case .string(let value): JSONValue.writeString(value, to: &output)
    case .time(let value): JSONValue.writeString(value.description, to: &output)
    }
  }

  public var json: String {
    var bytes: [UInt8] = []
    writeJSON(to: &bytes)
    return String(decoding: bytes, as: UTF8.self)
  }

  /// The value in a table or a CSV cell, unquoted; empty for null and for doubles JSON cannot write.
  public var plainText: String {
    switch self {
    case .null: ""
    case .bool(let value): value ? "true" : "false"
    case .int(let value): value.description
    case .uint(let value): value.description
    case .double(let value): value.isFinite ? value.description : ""
    case .string(let value): value
    case .time(let value): value.description
    }
  }

  /// The kind's rank when values of several kinds are sorted; the same as in `KeyCodec`.
  package var rank: Int {
    switch self {
    case .null: 0
    case .bool: 1
    case .int, .uint, .double: 2
    case .time: 3
    case .string: 4
    }
  }
}

extension ResultValue: Hashable {
  /// Texts are equal when their bytes are: `UTF8Text` says why.
  public static func == (a: Self, b: Self) -> Bool {
    switch (a, b) {
    case (.null, .null): true
    case (.bool(let x), .bool(let y)): x == y
    case (.int(let x), .int(let y)): x == y
    case (.uint(let x), .uint(let y)): x == y
    case (.double(let x), .double(let y)): x == y
    case (.string(let x), .string(let y)): x.hasSameBytes(as: y)
    case (.time(let x), .time(let y)): x == y
    case (.null, _), (.bool, _), (.int, _), (.uint, _), (.double, _), (.string, _), (.time, _): false
    }
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(rank)
    switch self {
    case .null: break
    case .bool(let value): hasher.combine(value)
    case .int(let value): hasher.combine(value)
    case .uint(let value): hasher.combine(value)
    case .double(let value): hasher.combine(value)
    case .string(let text): hasher.combine(UTF8Text(text))
    case .time(let value): hasher.combine(value)
    }
  }
}

extension ResultValue: Comparable {
  /// The order of results: null < false < true < numbers < times < strings. Numbers compare exactly across int, uint and double,
  /// with NaN after all others; strings compare by code point.
  public static func < (a: Self, b: Self) -> Bool {
    switch (a, b) {
    case (.bool(let x), .bool(let y)): !x && y
    case (.int(let x), .int(let y)): x < y
    case (.uint(let x), .uint(let y)): x < y
    case (.int, .uint): true
    case (.uint, .int): false
    case (.uint(let x), .double(let y)): y.isNaN || Order.of(x, y) == Order.less
    case (.double(let x), .uint(let y)): Order.of(y, x) == Order.greater
    case (.double(let x), .double(let y)): x < y || (y.isNaN && !x.isNaN)
    case (.int(let x), .double(let y)): y.isNaN || Order.of(x, y) == Order.less
    case (.double(let x), .int(let y)): Order.of(y, x) == Order.greater
    case (.time(let x), .time(let y)): x < y
    // Comparing UTF-8 compares code points; Swift's own `<` would compare normalised forms.
    case (.string(let x), .string(let y)): x.utf8.lexicographicallyPrecedes(y.utf8)
    case (.null, _), (.bool, _), (.int, _), (.uint, _), (.double, _), (.string, _), (.time, _): a.rank < b.rank
    }
  }
}
