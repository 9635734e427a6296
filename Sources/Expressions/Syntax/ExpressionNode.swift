import Events

/// A node of an expression's tree. Nodes lie in one array, children before parents, so every walk over them is a loop: no text,
/// however nested, can exhaust the stack after the parser bounded it.
struct ExpressionNode: Sendable, Hashable {
  enum Kind: Sendable, Hashable {
    case literal(ResultValue)
    case path(ValuePath)
    case has(ValuePath)
    case not(Int)
    case negate(Int)
    case binary(BinaryOperator, Int, Int)
    case member(Int, of: [ResultValue])
    case conditional(Int, then: Int, otherwise: Int)
    case method(StringMethod, Int, Int)
    case size(Int)
  }

  var kind: Kind
  /// The position of the node in the text: for an operator, its own.
  var position: Int
}

enum BinaryOperator: String, Sendable {
  case or = "||"
  case and = "&&"
  case equal = "=="
  case notEqual = "!="
  case less = "<"
  case lessOrEqual = "<="
  case greater = ">"
  case greaterOrEqual = ">="
  case add = "+"
  case subtract = "-"
  case multiply = "*"
  case divide = "/"
  case remainder = "%"

  /// Binding strength, as in CEL's grammar; `?:` has 1, unary operators 7, members 8.
  var precedence: Int {
    switch self {
    case .or: 2
    case .and: 3
    case .equal, .notEqual, .less, .lessOrEqual, .greater, .greaterOrEqual: 4
    case .add, .subtract: 5
    case .multiply, .divide, .remainder: 6
    }
  }

  var isEquality: Bool { self == .equal || self == .notEqual }
  var isComparison: Bool { precedence == 4 }

  /// The operation on the values of both sides.
  enum Meaning {
    case or, and
    case compare(ComparisonOperator)
    case compute(ArithmeticOperator)
  }

  var meaning: Meaning {
    switch self {
    case .or: .or
    case .and: .and
    case .equal: .compare(.equal)
    case .notEqual: .compare(.notEqual)
    case .less: .compare(.less)
    case .lessOrEqual: .compare(.lessOrEqual)
    case .greater: .compare(.greater)
    case .greaterOrEqual: .compare(.greaterOrEqual)
    case .add: .compute(.add)
    case .subtract: .compute(.subtract)
    case .multiply: .compute(.multiply)
    case .divide: .compute(.divide)
    case .remainder: .compute(.remainder)
    }
  }
}

enum ComparisonOperator: Sendable {
  case equal, notEqual, less, lessOrEqual, greater, greaterOrEqual

  /// The comparison with its sides exchanged.
  var mirrored: ComparisonOperator {
    switch self {
    case .equal, .notEqual: self
    case .less: .greater
    case .lessOrEqual: .greaterOrEqual
    case .greater: .less
    case .greaterOrEqual: .lessOrEqual
    }
  }
}

enum ArithmeticOperator: Sendable { case add, subtract, multiply, divide, remainder }

enum StringMethod: String, Sendable, CaseIterable {
  case startsWith, endsWith, contains
}

extension [ExpressionNode] {
  /// The spelling of this tree, whatever text it was read from: parsing it gives the same tree.
  var canonicalText: String {
    var texts: [(text: String, precedence: Int)] = []
    func operand(_ index: Int, _ least: Int) -> String {
      texts[index].precedence < least ? "(\(texts[index].text))" : texts[index].text
    }
    for node in self {
      switch node.kind {
      case .literal(let value):
        // A minus that belongs to a literal binds like an operator: (-1).x needs its brackets.
        let text = value.expressionText
        texts.append((text, text.hasPrefix("-") ? 7 : 8))
      case .path(let path): texts.append((path.expressionText, 8))
      case .has(let path): texts.append(("has(\(path.expressionText))", 8))
      case .not(let a): texts.append(("!" + (isNot(a) ? texts[a].text : operand(a, 8)), 7))
      case .negate(let a):
        // -(1) must not read back as the literal -1, nor - -x as one token.
        texts.append(("-(\(texts[a].text))", 7))
      case .binary(let op, let a, let b):
        texts.append(("\(operand(a, op.precedence)) \(op.rawValue) \(operand(b, op.precedence + 1))", op.precedence))
      case .member(let a, let values):
        texts.append(("\(operand(a, 4)) in [\(values.map(\.expressionText).joined(separator: ", "))]", 4))
      case .conditional(let a, let b, let c):
        texts.append(("\(operand(a, 2)) ? \(operand(b, 2)) : \(operand(c, 1))", 1))
      case .method(let method, let a, let b):
        texts.append(("\(operand(a, 8)).\(method.rawValue)(\(texts[b].text))", 8))
      case .size(let a): texts.append(("size(\(texts[a].text))", 8))
      }
    }
    return texts.last?.text ?? ""
  }

  private func isNot(_ index: Int) -> Bool {
    if case .not = self[index].kind { true } else { false }
  }
}

extension ResultValue {
  /// The literal's spelling in an expression.
  package var expressionText: String {
    switch self {
    case .null: return "null"
    case .bool(let value): return value ? "true" : "false"
    case .int(let value): return value.description
    case .uint(let value): return "\(value)u"
    case .double(let value): return value.description
    case .time(let value): return "timestamp(\"\(value)\")"
    case .string(let value):
      var text = "\""
      for scalar in value.unicodeScalars {
        switch scalar {
        case "\"": text += "\\\""
        case "\\": text += "\\\\"
        case "\n": text += "\\n"
        case "\r": text += "\\r"
        case "\t": text += "\\t"
        case _ where scalar.value < 0x20 || scalar.value == 0x7F:
          let digits = String(scalar.value, radix: 16)
          text += "\\u" + String(repeating: "0", count: 4 - digits.count) + digits
        default: text.unicodeScalars.append(scalar)
        }
      }
      return text + "\""
    }
  }
}

extension ValuePath {
  /// The path's spelling in an expression: `data.site`, `data["wind speed"]`; in backticks a name that is a word of the language.
  public var expressionText: String {
    switch self {
    case .attribute(let name): return ExpressionParser.isPlainName(name) ? name : "`\(name)`"
    case .data(let members):
      return members.reduce(into: "data") { text, member in
        text += ExpressionParser.isSelector(member) ? ".\(member)" : "[\(ResultValue.string(member).expressionText)]"
      }
    }
  }
}
