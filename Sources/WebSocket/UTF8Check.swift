/// Whether bytes are UTF-8, for text that does not come in a frame.
public enum UTF8Check {
  public static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var validator = UTF8Validator()
    return validator.accepts(bytes) && validator.isComplete
  }
}
