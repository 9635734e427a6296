import Events

/// Memory that evaluation keeps from batch to batch: value vectors, strings computed by `+`, and notes on the batch's strings.
///
/// One per thread; pass the same one again and again.
public struct EvaluationScratch: Sendable {
  /// The most bytes of strings that one evaluation may compute; further rows are errors.
  public static let computedBytesMax = 64 << 20

  var registers: [ValueVector] = []
  var computed = ComputedStrings()
  /// A note on each of the source's strings, for one literal: the result of comparing with it, or `unknownNote`.
  var notes: [UInt8] = []

  static let unknownNote: UInt8 = 255

  public init() {}

  mutating func begin(stackDepth: Int, sourceStringCount: Int) {
    while registers.count < stackDepth { registers.append(ValueVector()) }
    computed.removeAll(sourceCount: sourceStringCount)
  }

  /// The register's vector, moved out, so that it can change while others are read; no copy.
  mutating func take(_ register: Int) -> ValueVector {
    var vector = ValueVector()
    swap(&vector, &registers[register])
    return vector
  }

  mutating func put(_ vector: consuming ValueVector, _ register: Int) { registers[register] = vector }

  /// Notes, all unknown, for as many strings as the source has.
  mutating func resetNotes() {
    notes.removeAll(keepingCapacity: true)
    notes.append(contentsOf: repeatElement(EvaluationScratch.unknownNote, count: computed.sourceCount))
  }

  /// The UTF-8 of a string in the result of the last evaluation: one of the source's own, or a computed one.
  public func withString<R>(_ code: Int, over rows: some RowSource, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    try computed.withString(code, rows, body)
  }
}

/// The strings that `+` made in one evaluation; their codes follow the row source's.
struct ComputedStrings: Sendable {
  /// Codes below this are the row source's own.
  private(set) var sourceCount = 0
  /// One past each string's last byte in `bytes`.
  private var ends: [Int] = []
  private var bytes: [UInt8] = []

  mutating func removeAll(sourceCount: Int) {
    self.sourceCount = sourceCount
    ends.removeAll(keepingCapacity: true)
    bytes.removeAll(keepingCapacity: true)
  }

  /// The code of a new string; nil when there is no room for it.
  mutating func add(_ text: UnsafeRawBufferPointer) -> Int? {
    guard bytes.count + text.count <= EvaluationScratch.computedBytesMax else { return nil }
    bytes.append(contentsOf: text)
    ends.append(bytes.count)
    return sourceCount + ends.count - 1
  }

  /// The code of two strings joined; nil when there is no room for it.
  mutating func add(_ a: Int, _ b: Int, _ rows: some RowSource) -> Int? {
    let start = bytes.count
    append(a, rows)
    append(b, rows)
    guard bytes.count <= EvaluationScratch.computedBytesMax else {
      bytes.removeSubrange(start...)
      return nil
    }
    ends.append(bytes.count)
    return sourceCount + ends.count - 1
  }

  private mutating func append(_ code: Int, _ rows: some RowSource) {
    guard code >= sourceCount else { return rows.withString(code) { bytes.append(contentsOf: $0) } }
    // Byte by byte: a slice would share the array, and growing a shared array copies it whole.
    for index in range(of: code) { bytes.append(bytes[index]) }
  }

  private func range(of code: Int) -> Range<Int> {
    let index = code - sourceCount
    return (index == 0 ? 0 : ends[index - 1])..<ends[index]
  }

  func withString<R>(_ code: Int, _ rows: some RowSource, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    guard code >= sourceCount else { return try rows.withString(code, body) }
    let range = range(of: code)
    return try bytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
  }
}
