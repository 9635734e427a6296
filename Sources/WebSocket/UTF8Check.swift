/// Whether bytes are UTF-8, for text that does not come in a frame.
package enum UTF8Check {
  package static func isValid(_ bytes: UnsafeRawBufferPointer) -> Bool {
    var validator = UTF8Validator()
    return validator.accepts(bytes) && validator.isComplete
  }
}
