import Events

/// The check at load: finds faults that would fail on every row, so that a typing error shows when the view is read and
/// not as a count of errors.
package enum ExpressionTypes {
  /// The type of the whole expression.
  static func check(_ nodes: [ExpressionNode], text: String, scope: ExpressionScope) throws(ExpressionError) -> ColumnType {
    var types: [ColumnType] = []
    for node in nodes {
      func require(_ index: Int, _ wanted: ColumnType, _ role: String) throws(ExpressionError) {
        guard types[index] == wanted || types[index] == .any else {
          throw ExpressionError(
            "\(role) takes a \(wanted.noun), but this is a \(types[index].noun)", in: text, at: nodes[index].position)
        }
      }
      switch node.kind {
      case .literal(let value): types.append(value.type)
      case .path(let path): types.append(type(of: path, scope))
      case .has: types.append(.boolean)
      case .not(let a):
        try require(a, .boolean, "'!'")
        types.append(.boolean)
      case .negate(let a):
        guard types[a].isNumber || types[a] == .any else {
          throw ExpressionError("'-' takes a number, but this is a \(types[a].noun)", in: text, at: node.position)
        }
        types.append(types[a] == .uint64 ? .any : types[a])
      case .binary(let op, let a, let b):
        if op == .and || op == .or {
          try require(a, .boolean, "'\(op.rawValue)'")
          try require(b, .boolean, "'\(op.rawValue)'")
          types.append(.boolean)
        } else if op.isComparison {
          try checkOrder(op, types[a], types[b], text, node.position)
          types.append(.boolean)
        } else {
          types.append(try arithmetic(op, types[a], types[b], text, node.position))
        }
      case .member: types.append(.boolean)
      case .conditional(let a, let b, let c):
        try require(a, .boolean, "'?'")
        types.append(types[b] == types[c] ? types[b] : .any)
      case .method(let method, let a, let b):
        try require(a, .string, method.rawValue)
        try require(b, .string, method.rawValue)
        types.append(.boolean)
      case .size(let a):
        try require(a, .string, "size")
        types.append(.int64)
      }
    }
    return types.last ?? .any
  }

  /// Equality holds between any two values (different kinds are just unequal); order does not.
  private static func checkOrder(
    _ op: BinaryOperator, _ a: ColumnType, _ b: ColumnType, _ text: String, _ position: Int
  ) throws(ExpressionError) {
    if a == .timestamp && b == .string || a == .string && b == .timestamp {
      throw ExpressionError(
        "a time compares with a time: write timestamp(\"2013-01-01T00:00:00Z\"), not a string", in: text, at: position)
    }
    guard !op.isEquality else { return }
    if a == .null || b == .null {
      throw ExpressionError("null has no order: only == and != take it", in: text, at: position)
    }
    guard a == b || a == .any || b == .any || a.isNumber && b.isNumber else {
      throw ExpressionError("'\(op.rawValue)' cannot order a \(a.noun) and a \(b.noun)", in: text, at: position)
    }
  }

  private static func arithmetic(
    _ op: BinaryOperator, _ a: ColumnType, _ b: ColumnType, _ text: String, _ position: Int
  ) throws(ExpressionError) -> ColumnType {
    for type in [a, b] where type != .any {
      let fits = type.isNumber && !(op == .remainder && type == .double) || op == .add && type == .string
      guard !fits else { continue }
      if type == .timestamp { throw ExpressionError("arithmetic on times is not in this subset", in: text, at: position) }
      let noun = op == .remainder && type == .double ? "double: only ints have a remainder" : type.noun
      throw ExpressionError("'\(op.rawValue)' does not take a \(noun)", in: text, at: position)
    }
    if a == .any || b == .any {
      if a == .string || b == .string { return .string }
      return a == .double || b == .double ? .double : op == .remainder ? .int64 : .any
    }
    guard a.isNumber == b.isNumber else {
      throw ExpressionError("'\(op.rawValue)' does not join a \(a.noun) and a \(b.noun)", in: text, at: position)
    }
    guard a.isNumber else { return a }
    // The values decide whether a uint and an int make the one or the other.
    if a.isInteger, b.isInteger { return a == .int64 && b == .int64 ? .int64 : .any }
    return .double
  }

  private static func type(of path: ValuePath, _ scope: ExpressionScope) -> ColumnType {
    guard case .attribute(let name) = path else { return .any }
    switch scope {
    case .event: return eventAttributeType(name)
    case .columns(let columns): return columns.first { $0.name == name }?.type ?? .any
    }
  }

  /// The type that CloudEvents gives an attribute; extensions may be a string, a boolean or an integer.
  package static func eventAttributeType(_ name: String) -> ColumnType {
    switch name {
    case "source", "type", "id", "subject", "specversion", "datacontenttype", "dataschema": .string
    case "time": .timestamp
    case "sequence", "epoch": .uint64
    default: .any
    }
  }
}

extension ResultValue {
  /// The type a value of this kind has.
  public var type: ColumnType {
    switch self {
    case .null: .null
    case .bool: .boolean
    case .int: .int64
    case .uint: .uint64
    case .double: .double
    case .string: .string
    case .time: .timestamp
    }
  }
}
