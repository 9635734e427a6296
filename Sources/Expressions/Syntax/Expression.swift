import Events

/// The meaning of the names in an expression.
public enum ExpressionScope: Sendable {
  /// An event's attributes and `data`.
  case event
  /// A result's columns, by name; any other name is an error.
  case columns([(name: String, type: ColumnType)])
}

/// An expression of the CEL subset described in docs/views.md: parsed, checked and ready to run over rows.
///
/// At most 4,096 bytes of text, 512 parts, 32 levels; so neither reading nor running one can exhaust the stack.
public struct Expression: Sendable {
  /// The text it was read from.
  public let text: String
  /// The same expression in this module's spelling: equal for equal trees, whatever the spaces, quotes and brackets.
  public let canonicalText: String
  /// The paths it reads, each once, in the order of their first appearance.
  public let paths: [ValuePath]
  /// The kind of its value, as far as its text tells; `.any` when the rows decide.
  public let type: ColumnType

  let nodes: [ExpressionNode]
  let program: ExpressionProgram

  /// - Parameters:
  ///   - text: At most 4,096 bytes.
  ///   - scope: The meaning of names.
  /// - Throws: `ExpressionError` for texts that do not parse or cannot succeed on any row, such as `"a" - 1`.
  public init(parsing text: String, scope: ExpressionScope = .event) throws(ExpressionError) {
    self.text = text
    nodes = try ExpressionParser.nodes(of: text, scope: scope)
    type = try ExpressionTypes.check(nodes, text: text, scope: scope)
    canonicalText = nodes.canonicalText
    try Expression.requireReadable(canonicalText, writtenFrom: text, scope)
    program = ExpressionProgram(compiling: nodes)
    paths = program.paths
  }

  /// Views are stored in this module's spelling, with its own spaces and brackets: a text that could not be read back is refused
  /// now.
  private static func requireReadable(_ canonicalText: String, writtenFrom text: String, _ scope: ExpressionScope)
    throws(ExpressionError)
  {
    guard !canonicalText.hasSameBytes(as: text) else { return }
    do throws(ExpressionError) {
      _ = try ExpressionParser.nodes(of: canonicalText, scope: scope)
    } catch {
      throw ExpressionError("written out in full, with its brackets, this is beyond a bound: \(error.message)", in: text, at: 0)
    }
  }

  /// The path, when the expression is nothing else.
  public var path: ValuePath? {
    if case .path(let path)? = nodes.last?.kind { path } else { nil }
  }

  /// The comparisons `name == value` that the condition joins by `&&`, the last one first; and whether it holds nothing
  /// else.
  package var equalities: (equal: [(name: String, value: ResultValue)], isWhole: Bool) {
    var equal: [(name: String, value: ResultValue)] = []
    var isWhole = true
    var conjuncts = [nodes.count - 1]
    while let index = conjuncts.popLast() {
      guard case .binary(let operation, let left, let right) = nodes[index].kind else {
        isWhole = false
        continue
      }
      switch (operation, nodes[left].kind, nodes[right].kind) {
      case (.and, _, _): conjuncts += [left, right]
      case (.equal, .path(.attribute(let name)), .literal(let value)), (.equal, .literal(let value), .path(.attribute(let name))):
        equal.append((name, value))
      default: isWhole = false
      }
    }
    return (equal, isWhole)
  }

  /// Refuses an expression that can never be true or false.
  /// - Throws: `ExpressionError` that names its type.
  public func requireBoolean() throws(ExpressionError) {
    guard type == .boolean || type == .any else {
      throw ExpressionError(
        "expected a condition, true or false, but this is a \(type.noun)", in: text, at: nodes.last?.position ?? 0)
    }
  }
}

extension Expression: Hashable {
  /// By bytes: texts that only look the same, as é in one character or in two, name other members and match other strings.
  public static func == (a: Self, b: Self) -> Bool { a.canonicalText.hasSameBytes(as: b.canonicalText) }
  public func hash(into hasher: inout Hasher) { hasher.combine(UTF8Text(canonicalText)) }
}

extension Expression: CustomStringConvertible {
  public var description: String { canonicalText }
}
