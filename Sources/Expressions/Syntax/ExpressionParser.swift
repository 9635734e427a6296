import Events

/// Reads the subset of CEL's grammar in docs/views.md by recursive descent.
struct ExpressionParser {
  /// Bytes of an expression's text.
  static let textBytesMax = 4096
  /// Nested brackets, unary operators and conditionals.
  static let depthMax = 32
  static let nodesMax = 512
  static let listMax = 256
  /// Members of a path below `data`.
  static let pathMembersMax = 16

  private static let keywords: Set<String> = ["true", "false", "null", "in"]
  /// CEL reserves these; they may be members, but names only in backticks.
  private static let reserved: Set<String> = [
    "as", "break", "const", "continue", "else", "for", "function", "if", "import", "let", "loop", "package", "namespace",
    "return", "var", "void", "while",
  ]
  private static let functions = ["has", "size", "timestamp"]
  private static let methods = ["startsWith", "endsWith", "contains", "size"]
  /// In CEL, but not in this subset.
  private static let absent: Set<String> = [
    "matches", "all", "exists", "exists_one", "map", "filter", "int", "uint", "double", "string", "bytes", "bool", "type", "dyn",
    "duration", "getFullYear", "getMonth", "getDate", "getDayOfMonth", "getDayOfWeek", "getDayOfYear", "getHours", "getMinutes",
    "getSeconds", "getMilliseconds",
  ]

  private let text: String
  private let scope: ExpressionScope
  private let tokens: [ExpressionToken]
  private var at = 0
  private var depth = 0
  private var nodes: [ExpressionNode] = []

  private init(_ text: String, _ scope: ExpressionScope) throws(ExpressionError) {
    guard text.utf8.count <= ExpressionParser.textBytesMax else {
      throw ExpressionError(
        "an expression has at most \(ExpressionParser.textBytesMax) bytes", in: String(text.prefix(80)), at: 0)
    }
    self.text = text
    self.scope = scope
    tokens = try ExpressionLexer.tokens(of: text)
  }

  /// The tree, children before parents, its root last.
  static func nodes(of text: String, scope: ExpressionScope) throws(ExpressionError) -> [ExpressionNode] {
    var parser = try ExpressionParser(text, scope)
    if case .end = parser.token.kind { throw ExpressionError("the expression is empty", in: text, at: 0) }
    _ = try parser.expression()
    guard case .end = parser.token.kind else {
      throw parser.failure("expected an operator or the end, found \(parser.token.name)")
    }
    return parser.nodes
  }

  /// Whether a member can be written after a dot.
  static func isSelector(_ name: String) -> Bool {
    guard let first = name.utf8.first, !(0x30...0x39).contains(first), !keywords.contains(name) else { return false }
    return name.utf8.allSatisfy { (0x61...0x7A).contains($0 | 0x20) || (0x30...0x39).contains($0) || $0 == 0x5F }
  }

  /// Whether a name can be written plainly; others are written in backticks.
  static func isPlainName(_ name: String) -> Bool { isSelector(name) && !reserved.contains(name) }

  // MARK: Tokens

  private var token: ExpressionToken { tokens[at] }

  private func failure(_ message: String) -> ExpressionError { ExpressionError(message, in: text, at: token.start) }

  private func isAt(_ symbol: String) -> Bool { token.kind == .symbol(symbol) }

  private mutating func take(_ symbol: String) -> Bool {
    guard isAt(symbol) else { return false }
    at += 1
    return true
  }

  private mutating func expect(_ symbol: String, _ purpose: String) throws(ExpressionError) {
    guard take(symbol) else { throw failure("expected '\(symbol)' \(purpose), found \(token.name)") }
  }

  private mutating func add(_ kind: ExpressionNode.Kind, at position: Int) throws(ExpressionError) -> Int {
    guard nodes.count < ExpressionParser.nodesMax else {
      throw ExpressionError("the expression is too long: at most \(ExpressionParser.nodesMax) parts", in: text, at: position)
    }
    nodes.append(ExpressionNode(kind: kind, position: position))
    return nodes.count - 1
  }

  private mutating func descend() throws(ExpressionError) {
    depth += 1
    guard depth <= ExpressionParser.depthMax else {
      throw failure("nested too deeply: at most \(ExpressionParser.depthMax) levels")
    }
  }

  // MARK: Grammar

  /// Expr = Or [ "?" Or ":" Expr ]
  private mutating func expression() throws(ExpressionError) -> Int {
    try descend()
    defer { depth -= 1 }
    let condition = try binary(2)
    let position = token.start
    guard take("?") else { return condition }
    let then = try binary(2)
    try expect(":", "between the two results of '?'")
    let otherwise = try expression()
    return try add(.conditional(condition, then: then, otherwise: otherwise), at: position)
  }

  /// The left-associative levels, from `||` (2) to `* / %` (6).
  private mutating func binary(_ level: Int) throws(ExpressionError) -> Int {
    guard level <= 6 else { return try unary() }
    var left = try binary(level + 1)
    while true {
      let position = token.start
      if level == 4, token.kind == .identifier("in") {
        at += 1
        left = try add(.member(left, of: try list()), at: position)
      } else if case .symbol(let symbol) = token.kind, let op = BinaryOperator(rawValue: symbol), op.precedence == level {
        at += 1
        let right = try binary(level + 1)
        left = try add(.binary(op, left, right), at: position)
      } else {
        return left
      }
    }
  }

  /// Unary = Member | "!"+ Member | "-"+ Member
  private mutating func unary() throws(ExpressionError) -> Int {
    let position = token.start
    for symbol in ["!", "-"] where isAt(symbol) {
      at += 1
      if symbol == "-", let value = try negativeLiteral() { return try member(of: add(.literal(value), at: position)) }
      if isAt(symbol == "-" ? "!" : "-") { throw failure("'!' and '-' do not mix: put the inner one in brackets") }
      try descend()
      defer { depth -= 1 }
      let operand = try unary()
      return try add(symbol == "!" ? .not(operand) : .negate(operand), at: position)
    }
    return try member(of: primary())
  }

  /// A number after a minus sign is one literal, so that the least int can be written.
  private mutating func negativeLiteral() throws(ExpressionError) -> ResultValue? {
    switch token.kind {
    case .int(let magnitude):
      at += 1
      return .int(magnitude == 1 << 63 ? Int64.min : -Int64(magnitude))
    case .double(let magnitude):
      at += 1
      return .double(-magnitude)
    default: return nil
    }
  }

  /// Member = Primary { "." SELECTOR | "[" STRING "]" | "." METHOD "(" [ Expr ] ")" }
  private mutating func member(of base: Int) throws(ExpressionError) -> Int {
    var base = base
    while true {
      if take(".") {
        let position = token.start
        if case .quoted(let name) = token.kind {
          at += 1
          base = try select(name, from: base, at: position)
          continue
        }
        guard case .identifier(let name) = token.kind else {
          throw failure("expected a member's name after '.', found \(token.name)")
        }
        guard !ExpressionParser.keywords.contains(name) else {
          throw failure("'\(name)' cannot follow '.': write [\"\(name)\"]")
        }
        at += 1
        base = try isAt("(") ? method(name, of: base, at: position) : select(name, from: base, at: position)
      } else if isAt("[") {
        let position = token.start
        at += 1
        guard case .string(let name) = token.kind else {
          throw failure("expected a member's name as a string, as in data[\"wind speed\"], found \(token.name)")
        }
        at += 1
        try expect("]", "after the member's name")
        base = try select(name, from: base, at: position)
      } else {
        return base
      }
    }
  }

  private mutating func select(_ name: String, from base: Int, at position: Int) throws(ExpressionError) -> Int {
    guard case .path(.data(let members)) = nodes[base].kind else {
      throw ExpressionError("only data has members", in: text, at: position)
    }
    guard members.count < ExpressionParser.pathMembersMax else {
      throw ExpressionError("a path has at most \(ExpressionParser.pathMembersMax) members", in: text, at: position)
    }
    // `base` is the last node made, so the path grows in place.
    nodes[base].kind = .path(.data(members + [name]))
    return base
  }

  private mutating func method(_ name: String, of base: Int, at position: Int) throws(ExpressionError) -> Int {
    guard ExpressionParser.methods.contains(name) else { throw unknownFunction(name, ExpressionParser.methods, at: position) }
    try expect("(", "after \(name)")
    guard let method = StringMethod(rawValue: name) else {
      try expect(")", "since size takes no argument here")
      return try add(.size(base), at: position)
    }
    let argument = try expression()
    try expect(")", "after the argument of \(name)")
    return try add(.method(method, base, argument), at: position)
  }

  private mutating func primary() throws(ExpressionError) -> Int {
    let first = token
    switch first.kind {
    case .symbol("("):
      at += 1
      let inner = try expression()
      try expect(")", "to close the bracket")
      return inner
    case .symbol("["):
      throw failure("a list may only stand after 'in'")
    case .identifier(let name) where !ExpressionParser.keywords.contains(name):
      at += 1
      if isAt("(") { return try function(name, at: first.start) }
      if ExpressionParser.reserved.contains(name) {
        throw ExpressionError("'\(name)' is reserved by CEL: as a name it is written `\(name)`", in: text, at: first.start)
      }
      return try add(.path(try path(name, at: first.start)), at: first.start)
    case .quoted(let name):
      at += 1
      return try add(.path(try path(name, at: first.start)), at: first.start)
    case .identifier("in"):
      throw failure("expected a value, found 'in': as a name it is written `in`")
    default:
      if let value = try literal() { return try add(.literal(value), at: first.start) }
      throw failure("expected a value: a name, a number, a string or '(', found \(first.name)")
    }
  }

  private mutating func function(_ name: String, at position: Int) throws(ExpressionError) -> Int {
    guard ExpressionParser.functions.contains(name) else {
      if ExpressionParser.methods.contains(name) {
        throw ExpressionError("\(name) is a method: write data.name.\(name)(…)", in: text, at: position)
      }
      throw unknownFunction(name, ExpressionParser.functions, at: position)
    }
    try expect("(", "after \(name)")
    if name == "timestamp" {
      let value = try time()
      try expect(")", "after the time")
      return try add(.literal(value), at: position)
    }
    let argument = try expression()
    try expect(")", "after the argument of \(name)")
    if name == "size" { return try add(.size(argument), at: position) }
    guard case .path(let path) = nodes[argument].kind else {
      throw ExpressionError("has() takes a field, as in has(data.temp)", in: text, at: position)
    }
    // Replaces the field's node: the test reads presence, not the value.
    nodes[argument] = ExpressionNode(kind: .has(path), position: position)
    return argument
  }

  private func unknownFunction(_ name: String, _ known: [String], at position: Int) -> ExpressionError {
    let hint: String
    if ExpressionParser.absent.contains(name) {
      hint = "CEL's \(name) is not in this subset"
    } else if let near = nearest(to: name, among: known) {
      hint = "there is no '\(name)': did you mean \(near)?"
    } else {
      hint = "there is no '\(name)': expected one of \(known.joined(separator: ", "))"
    }
    return ExpressionError(hint, in: text, at: position)
  }

  private func path(_ name: String, at position: Int) throws(ExpressionError) -> ValuePath {
    switch scope {
    case .event:
      if name == "data" { return .data([]) }
      guard name.utf8.allSatisfy({ (0x61...0x7A).contains($0) || (0x30...0x39).contains($0) }) else {
        // CloudEvents: attribute names are lower-case letters and digits.
        throw ExpressionError("an event has no attribute '\(name)': did you mean data.\(name)?", in: text, at: position)
      }
    case .columns(let columns):
      let names = columns.map(\.name)
      guard names.contains(name) else {
        let hint =
          nearest(to: name, among: names).map { "did you mean \($0)?" } ?? "expected one of \(names.joined(separator: ", "))"
        throw ExpressionError("there is no column '\(name)': \(hint)", in: text, at: position)
      }
    }
    return .attribute(name)
  }

  // MARK: Literals

  private mutating func literal() throws(ExpressionError) -> ResultValue? {
    let value: ResultValue
    switch token.kind {
    case .int(let magnitude):
      guard magnitude < 1 << 63 else { throw failure(ExpressionLexer.unsignedHint) }
      value = .int(Int64(magnitude))
    case .uint(let magnitude): value = .uint(magnitude)
    case .double(let magnitude): value = .double(magnitude)
    case .string(let text): value = .string(text)
    case .identifier("true"): value = .bool(true)
    case .identifier("false"): value = .bool(false)
    case .identifier("null"): value = .null
    default: return nil
    }
    at += 1
    return value
  }

  private mutating func time() throws(ExpressionError) -> ResultValue {
    guard case .string(let string) = token.kind else {
      throw failure("timestamp() takes a string literal, as in timestamp(\"2013-01-01T00:00:00Z\")")
    }
    guard let time = Timestamp(rfc3339: string) else {
      throw failure("expected a time as RFC 3339 writes it, as in \"2013-01-01T00:00:00Z\"")
    }
    at += 1
    return .time(time)
  }

  /// List = "[" [ Literal { "," Literal } [ "," ] ] "]"
  private mutating func list() throws(ExpressionError) -> [ResultValue] {
    guard take("[") else { throw failure("expected a list after 'in', as in [1, 2], found \(token.name)") }
    var values: [ResultValue] = []
    while !take("]") {
      guard values.count < ExpressionParser.listMax else {
        throw failure("a list has at most \(ExpressionParser.listMax) values")
      }
      if take("-") {
        guard let value = try negativeLiteral() else { throw failure("expected a number after '-', found \(token.name)") }
        values.append(value)
      } else if token.kind == .identifier("timestamp") {
        at += 1
        try expect("(", "after timestamp")
        values.append(try time())
        try expect(")", "after the time")
      } else if let value = try literal() {
        values.append(value)
      } else {
        throw failure("expected a literal in the list, found \(token.name)")
      }
      if !take(","), !isAt("]") { throw failure("expected ',' or ']' in the list, found \(token.name)") }
    }
    return values
  }
}
