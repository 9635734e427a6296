/// A token of the expression language and the bytes it came from.
struct ExpressionToken: Equatable {
  enum Kind: Equatable {
    case identifier(String)
    /// A name in backticks, without them: never a word of the language.
    case quoted(String)
    /// The magnitude; a sign is an operator of its own.
    case int(UInt64)
    /// With the suffix u, beyond Int64; smaller ones are ints.
    case uint(UInt64)
    case double(Double)
    case string(String)
    /// An operator or a bracket.
    case symbol(String)
    case end
  }

  var kind: Kind
  /// First byte.
  var start: Int
  /// One past the last byte.
  var end: Int

  /// The token's name in an error message.
  var name: String {
    switch kind {
    case .identifier(let name), .quoted(let name): "'\(name.prefix(40))'"
    case .int(let value), .uint(let value): "the number \(value)"
    case .double(let value): "the number \(value)"
    case .string: "a string"
    case .symbol(let symbol): "'\(symbol)'"
    case .end: "the end"
    }
  }
}
