import Events
import Views

/// The keys of a batch's events, as the numbers that a table gives them: a batch's distinct strings are looked up once each.
struct BatchKeys {
  private let paths: [ValuePath]
  private var vectors: [ValueVector]
  private var numberOfCode: [Int32] = []
  private var isOneString = false
  /// The number of the empty key of a view without keys.
  private var noKey: Int32 = -1
  private var bytes: [UInt8] = []

  init(_ definition: ViewDefinition) {
    paths = definition.keys.map(\.path)
    vectors = paths.map { _ in ValueVector() }
  }

  mutating func load(_ batch: ColumnBatch) {
    for index in paths.indices { batch.load(paths[index], into: &vectors[index]) }
    isOneString = vectors.count == 1 && vectors[0].uniformKind == .string
    noKey = -1
    guard isOneString else { return }
    numberOfCode.removeAll(keepingCapacity: true)
    numberOfCode.append(contentsOf: repeatElement(-1, count: batch.stringCount))
  }

  /// Finds the keys that come in the order in which they came before, without encoding them: devices tend to report so.
  /// - Parameter next: The number of the key that is expected next, if a string is all of it.
  mutating func predict(_ batch: ColumnBatch, _ next: (UnsafeRawBufferPointer) -> Int32?) {
    guard isOneString else { return }
    batch.withSharedStrings { strings in
      var misses = 0
      for event in 0..<batch.count {
        let code = Int(truncatingIfNeeded: vectors[0].bits[event])
        guard code < numberOfCode.count, numberOfCode[code] < 0, code < strings.count else { continue }
        if let number = next(strings[code]) {
          numberOfCode[code] = number
        } else {
          misses += 1
          // The order is another one.
          if misses > BatchKeys.missesMax { return }
        }
      }
    }
  }

  private static let missesMax = 16

  /// - Parameter intern: Gives a key's number.
  @inline(__always) mutating func number(
    of event: Int, in batch: ColumnBatch, _ intern: (UnsafeRawBufferPointer) -> Int32
  ) -> Int32 {
    if isOneString {
      let code = Int(truncatingIfNeeded: vectors[0].bits[event])
      let known = numberOfCode[code]
      if known >= 0 { return known }
      let number = withBytes(of: event, in: batch, intern)
      numberOfCode[code] = number
      return number
    }
    if noKey >= 0 { return noKey }
    let number = withBytes(of: event, in: batch, intern)
    if vectors.isEmpty { noKey = number }
    return number
  }

  /// An event's key as `KeyCodec` encodes it.
  @inline(never) mutating func withBytes<R>(of event: Int, in batch: ColumnBatch, _ body: (UnsafeRawBufferPointer) -> R) -> R {
    bytes.removeAll(keepingCapacity: true)
    for vector in vectors { KeyCodec.append(vector.kinds[event], vector.bits[event], batch, to: &bytes) }
    return bytes.withUnsafeBytes { body($0) }
  }
}
