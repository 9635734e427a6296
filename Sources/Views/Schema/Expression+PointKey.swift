import Expressions

extension Expression {
  /// The only key of rows for which this condition over key columns is true, if it states, joined by `&&`, the value of each key
  /// column.
  ///
  /// A store finds such rows without looking at the others. The condition may have further parts: then it must still be applied.
  /// - Parameter names: The key columns' names, in the order of the keys' values.
  /// - Returns: The key in `KeyCodec`'s form, and whether the condition has no further part; nil when it leaves a key column
  ///   open.
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
