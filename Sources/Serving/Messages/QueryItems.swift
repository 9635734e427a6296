import Events

/// The parameters of a target's query, in order, as `application/x-www-form-urlencoded` has them. Cut by bytes: a character may
/// begin with a separator and go on with an accent.
public struct QueryItems: Sequence, IteratorProtocol, Sendable {
  public struct Item: Sendable {
    /// The decoded name; nil when it is no percent-encoded UTF-8.
    public let name: String?
    /// Decoded as the name is; empty where there is no `=`.
    public let value: String?
  }

  private var rest: Substring.UTF8View

  /// - Parameter query: The text after the `?`, still percent-encoded.
  public init(_ query: Substring) { rest = query.utf8 }

  /// - Parameter target: A request's target; its query begins after the first `?`.
  public init(of target: String) { rest = Substring(target).utf8.drop { $0 != 0x3F }.dropFirst() }

  public mutating func next() -> Item? {
    while !rest.isEmpty {
      let pair = rest.prefix { $0 != 0x26 }
      rest = rest[pair.endIndex...].dropFirst()
      guard !pair.isEmpty else { continue }
      let name = pair.prefix { $0 != 0x3D }
      return Item(
        name: PercentText.decode(name, plusIsSpace: true),
        value: PercentText.decode(pair[name.endIndex...].dropFirst(), plusIsSpace: true))
    }
    return nil
  }
}
