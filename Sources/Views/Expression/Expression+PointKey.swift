extension Expression {
  /// The one key that rows can have for which this condition over key columns is true: when it says, joined by `&&`, what each key column equals.
  ///
  /// A store finds such rows without looking at the others. The condition may ask for more, so it is still to be applied.
  /// - Parameter names: The key columns' names, in the order of the keys' values.
  /// - Returns: The key as `KeyCodec` encodes it; nil when the condition leaves a key column open.
  public func pointKey(_ names: [String]) -> [UInt8]? {
    guard !names.isEmpty, !nodes.isEmpty else { return nil }
    var values: [String: ResultValue] = [:]
    var conjuncts = [nodes.count - 1]
    while let index = conjuncts.popLast() {
      guard case .binary(let operation, let left, let right) = nodes[index].kind else { continue }
      switch (operation, nodes[left].kind, nodes[right].kind) {
      case (.and, _, _): conjuncts += [left, right]
      case (.equal, .path(.attribute(let name)), .literal(let value)), (.equal, .literal(let value), .path(.attribute(let name))):
        values[name] = value
      default: break
      }
    }
    var key: [UInt8] = []
    for name in names {
      guard let value = values[name] else { return nil }
      KeyCodec.append(value, to: &key)
    }
    return key
  }
}
