import Expressions

public struct SchemaColumn: Sendable, Hashable {
  public enum Role: String, Sendable { case window, key, aggregate }

  public var name: String
  public var type: ColumnType
  public var role: Role

  public init(name: String, type: ColumnType, role: Role) {
    self.name = name
    self.type = type
    self.role = role
  }
}

/// The columns of a view's results, in order: `window_start`, `window_end`, `final`, the keys, the aggregates.
public struct ViewSchema: Sendable, Hashable {
  /// Names that no key and no aggregate may have.
  public static let reservedNames = ["window_start", "window_end", "final"]

  public let columns: [SchemaColumn]

  init(keys: [KeyColumn], aggregates: [AggregateColumn]) {
    var columns = [
      SchemaColumn(name: "window_start", type: .timestamp, role: .window),
      SchemaColumn(name: "window_end", type: .timestamp, role: .window),
      SchemaColumn(name: "final", type: .boolean, role: .window),
    ]
    for key in keys {
      columns.append(SchemaColumn(name: key.name, type: key.type, role: .key))
    }
    for aggregate in aggregates {
      columns.append(
        SchemaColumn(
          name: aggregate.name, type: aggregate.function.resultType(of: aggregate.argument?.type ?? .any), role: .aggregate))
    }
    self.columns = columns
  }

  public var keys: [SchemaColumn] { columns.filter { $0.role == .key } }
  public var aggregates: [SchemaColumn] { columns.filter { $0.role == .aggregate } }

  /// The names that a condition over rows may use: the keys, `window_start` and `window_end`; see `KeyColumns`.
  public var keyScope: ExpressionScope {
    columns.filter { $0.role == .key || $0.role == .window && $0.type == .timestamp }.scope
  }
}

extension [SchemaColumn] {
  /// The names that an expression over rows of these columns may use.
  public var scope: ExpressionScope { .columns(map { ($0.name, $0.type) }) }
}

extension KeyColumn {
  /// The type that CloudEvents gives the attribute; `any` for fields below `data`, and for extensions.
  public var type: ColumnType {
    guard case .attribute(let name) = path else { return .any }
    return ExpressionTypes.eventAttributeType(name)
  }
}
