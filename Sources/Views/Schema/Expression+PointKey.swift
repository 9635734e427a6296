import Expressions

extension Expression {
  /// The one key that rows can have for which this condition over key columns is true: when it says, joined by `&&`, what each key column equals.
  ///
  /// A store finds such rows without looking at the others. The condition may ask for more: then it is still to be applied.
  /// - Parameter names: The key columns' names, in the order of the keys' values.
  /// - Returns: The key as `KeyCodec` encodes it, and whether the condition asks for nothing else; nil when it leaves a key column open.
  public func pointKey(_ names: [String]) -> (key: [UInt8], isWhole: Bool)? {
    guard !names.isEmpty else { return nil }
    var (equal, isWhole) = equalities
    var values: [String: ResultValue] = [:]
    for (name, value) in equal where values.updateValue(value, forKey: name) != nil { isWhole = false }
    var key: [UInt8] = []
    for name in names {
      guard let value = values[name] else { return nil }
      KeyCodec.append(value, to: &key)
    }
    return (key, isWhole && values.count == names.count)
  }
}
