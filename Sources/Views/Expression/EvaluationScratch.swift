import Events

/// Memory that evaluation keeps from batch to batch: value vectors, strings computed by `+`, and notes on the batch's strings.
///
/// One per thread; pass the same one again and again.
public struct EvaluationScratch: Sendable {
  /// Bytes of strings that one evaluation may compute; the rows beyond it are errors.
  public static let computedBytesMax = 64 << 20

  var registers: [ValueVector] = []
  /// Codes below this are the row source's own.
  private(set) var sourceStringCount = 0
  /// End of each computed string in `computedBytes`.
  private(set) var computedEnds: [Int] = []
  private(set) var computedBytes: [UInt8] = []
  /// A note on each of the source's strings, for one literal: what comparing with it gave, or `unknownNote`.
  var notes: [UInt8] = []

  static let unknownNote: UInt8 = 255

  public init() {}

  mutating func begin(stackDepth: Int, sourceStringCount: Int) {
    while registers.count < stackDepth { registers.append(ValueVector()) }
    self.sourceStringCount = sourceStringCount
    computedEnds.removeAll(keepingCapacity: true)
    computedBytes.removeAll(keepingCapacity: true)
  }

  /// The register's vector, out of its place, so that it can change while others are read; no copy.
  mutating func take(_ register: Int) -> ValueVector {
    var vector = ValueVector()
    swap(&vector, &registers[register])
    return vector
  }

  mutating func put(_ vector: consuming ValueVector, _ register: Int) { registers[register] = vector }

  /// Notes, all unknown, for as many strings as the source has.
  mutating func resetNotes() {
    notes.removeAll(keepingCapacity: true)
    notes.append(contentsOf: repeatElement(EvaluationScratch.unknownNote, count: sourceStringCount))
  }

  /// The code of a new string; nil when there is no room for it.
  mutating func addString(_ first: UnsafeRawBufferPointer, _ second: UnsafeRawBufferPointer) -> Int? {
    guard computedBytes.count + first.count + second.count <= EvaluationScratch.computedBytesMax else { return nil }
    computedBytes.append(contentsOf: first)
    computedBytes.append(contentsOf: second)
    computedEnds.append(computedBytes.count)
    return sourceStringCount + computedEnds.count - 1
  }

  /// Bytes of a computed string.
  func computedRange(_ code: Int) -> Range<Int> {
    let index = code - sourceStringCount
    return (index == 0 ? 0 : computedEnds[index - 1])..<computedEnds[index]
  }

  /// The UTF-8 of a string in the result of the last evaluation: one of the source's own, or a computed one.
  public func withString<R>(_ code: Int, over rows: some RowSource, _ body: (UnsafeRawBufferPointer) throws -> R) rethrows -> R {
    guard code >= sourceStringCount else { return try rows.withString(code, body) }
    let range = computedRange(code)
    return try computedBytes.withUnsafeBytes { try body(UnsafeRawBufferPointer(rebasing: $0[range])) }
  }
}
