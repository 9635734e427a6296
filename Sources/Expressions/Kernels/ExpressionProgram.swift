import Events

/// An expression's tree as a sequence of instructions for a stack of value vectors.
///
/// A literal beside an operator is part of the operator's instruction, so that it is never spread over the rows; everything
/// else follows the tree in post-order.
struct ExpressionProgram: Sendable {
  enum Instruction: Sendable {
    /// Pushes a path's values.
    case load(Int)
    /// Pushes whether a path's member is there.
    case has(Int)
    /// Pushes a literal, repeated.
    case constant(Int)
    case compare(ComparisonTable)
    /// Compares the top with a literal.
    case compareLiteral(ComparisonTable, Int)
    /// Whether the top equals one of the list's values.
    case member(Int)
    case and, or, not, negate
    case arithmetic(ArithmeticOperator)
    case method(StringMethod)
    case methodLiteral(StringMethod, Int)
    case size
    /// Pops the two results and the condition.
    case select
  }

  private(set) var instructions: [Instruction] = []
  private(set) var paths: [ValuePath] = []
  private(set) var literals: [Literal] = []
  private(set) var lists: [[Literal]] = []
  /// The most vectors alive at once.
  private(set) var stackDepth = 0

  init(compiling nodes: [ExpressionNode]) {
    var isFused = Array(repeating: false, count: nodes.count)
    for node in nodes {
      switch node.kind {
      case .binary(let op, let a, let b) where op.isComparison:
        if nodes[b].isLiteral { isFused[b] = true } else if nodes[a].isLiteral { isFused[a] = true }
      case .method(_, _, let b):
        if nodes[b].isLiteral { isFused[b] = true }
      case .binary, .literal, .path, .has, .not, .negate, .member, .conditional, .size: break
      }
    }
    var depth = 0
    for (index, node) in nodes.enumerated() where !isFused[index] {
      let pops: Int
      switch node.kind {
      case .literal(let value):
        instructions.append(.constant(literal(value)))
        pops = 0
      case .path(let path):
        instructions.append(.load(number(of: path)))
        pops = 0
      case .has(let path):
        instructions.append(.has(number(of: path)))
        pops = 0
      case .not:
        instructions.append(.not)
        pops = 1
      case .negate:
        instructions.append(.negate)
        pops = 1
      case .binary(let op, let a, let b):
        switch op.meaning {
        case .and: instructions.append(.and)
        case .or: instructions.append(.or)
        case .compute(let op): instructions.append(.arithmetic(op))
        case .compare(let op):
          if isFused[b], case .literal(let value) = nodes[b].kind {
            instructions.append(.compareLiteral(ComparisonTable(op), literal(value)))
          } else if isFused[a], case .literal(let value) = nodes[a].kind {
            instructions.append(.compareLiteral(ComparisonTable(op.mirrored), literal(value)))
          } else {
            instructions.append(.compare(ComparisonTable(op)))
          }
        }
        pops = isFused[a] || isFused[b] ? 1 : 2
      case .member(_, let values):
        instructions.append(.member(lists.count))
        lists.append(values.map(Literal.init))
        pops = 1
      case .conditional:
        instructions.append(.select)
        pops = 3
      case .method(let method, _, let b):
        if isFused[b], case .literal(let value) = nodes[b].kind {
          instructions.append(.methodLiteral(method, literal(value)))
          pops = 1
        } else {
          instructions.append(.method(method))
          pops = 2
        }
      case .size:
        instructions.append(.size)
        pops = 1
      }
      depth += 1 - pops
      stackDepth = max(stackDepth, depth)
    }
    precondition(depth == 1, "an expression leaves one value")
  }

  private mutating func number(of path: ValuePath) -> Int {
    if let known = paths.firstIndex(of: path) { return known }
    paths.append(path)
    return paths.count - 1
  }

  private mutating func literal(_ value: ResultValue) -> Int {
    literals.append(Literal(value))
    return literals.count - 1
  }
}

package struct Literal: Sendable {
  package let kind: ValueKind
  /// The bits of a `ValueVector`; 0 for a string.
  package let bits: UInt64
  /// A string's UTF-8.
  package let bytes: [UInt8]

  package init(_ value: ResultValue) {
    var bytes: [UInt8] = []
    switch value {
    case .null: (kind, bits) = (.null, 0)
    case .bool(let value): (kind, bits) = (.bool, value ? 1 : 0)
    case .int(let value): (kind, bits) = (.int, UInt64(bitPattern: value))
    case .uint(let value): (kind, bits) = (.uint, value)
    case .double(let value): (kind, bits) = (.double, value.bitPattern)
    case .time(let value): (kind, bits) = (.time, UInt64(bitPattern: value.nanoseconds))
    case .string(let value):
      (kind, bits) = (.string, 0)
      bytes = Array(value.utf8)
    }
    self.bytes = bytes
  }
}

extension ExpressionNode {
  fileprivate var isLiteral: Bool {
    if case .literal = kind { true } else { false }
  }
}
