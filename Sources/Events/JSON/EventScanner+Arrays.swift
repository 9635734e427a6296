/// Arrays in `data`, which are kept as their text.
extension EventScanner {
  /// Checks and skips an array whose `[` is at the cursor, as `JSONCursor.skipValue` does, and that no object in it has a name
  /// twice.
  mutating func skipElements(depth: Int) throws(JSONProblem) {
    guard depth < JSONCursor.depthMax else { throw .tooDeep }
    cursor.p += 1
    cursor.skipSpace()
    if cursor.take(0x5D) { return }
    repeat {
      try skipElement(depth: depth + 1)
      cursor.skipSpace()
    } while cursor.take(0x2C)
    guard cursor.take(0x5D) else { throw cursor.unexpected }
  }

  private mutating func skipElement(depth: Int) throws(JSONProblem) {
    cursor.skipSpace()
    switch cursor.p.pointee {
    case 0x7B: try skipMembers(depth: depth)
    case 0x5B: try skipElements(depth: depth)
    // Neither an object nor an array, so nothing within.
    default: try cursor.skipValue(depth: depth)
    }
  }

  private mutating func skipMembers(depth: Int) throws(JSONProblem) {
    guard depth < JSONCursor.depthMax else { throw .tooDeep }
    cursor.p += 1
    cursor.skipSpace()
    if cursor.take(0x7D) { return }
    let object = names.beginObject()
    repeat {
      cursor.skipSpace()
      guard cursor.take(0x22) else { throw cursor.unexpected }
      let name = text(try cursor.string())
      guard names.insert(name, in: object) else { throw .duplicateMember }
      cursor.skipSpace()
      guard cursor.take(0x3A) else { throw cursor.unexpected }
      try skipElement(depth: depth + 1)
      cursor.skipSpace()
    } while cursor.take(0x2C)
    guard cursor.take(0x7D) else { throw cursor.unexpected }
  }
}
