/// W3C trace context, from a caller's headers or from CloudEvents' distributed-tracing extension.
public struct TraceContext: Sendable, Hashable {
  public static let stateBytesMax = 512

  /// `00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01`
  public let parent: String
  /// The vendors' part; nil where there is none, or none that is well-formed.
  public let state: String?

  /// - Parameters:
  ///   - parent: The value of `traceparent`.
  ///   - states: The values of `tracestate`, which may come in several headers.
  /// - Returns: Nil when the parent is malformed: as the recommendation says, the context is then left alone.
  public init?(parent: String?, states: [String] = []) {
    guard let parent, TraceContext.isParent(Array(parent.utf8)) else { return nil }
    self.parent = parent
    let state = states.joined(separator: ",")
    let isState =
      (1...TraceContext.stateBytesMax).contains(state.utf8.count) && state.utf8.allSatisfy { (0x20...0x7E).contains($0) }
    self.state = isState ? state : nil
  }

  /// Version, trace id, parent id and flags, in lowercase hexadecimal; neither id all zeros. Later versions may go on after a
  /// `-`.
  private static func isParent(_ text: [UInt8]) -> Bool {
    guard text.count == 55 || (text.count > 56 && text.count <= 256 && text[55] == 0x2D), text[2] == 0x2D, text[35] == 0x2D,
      text[52] == 0x2D
    else { return false }
    func isHex(_ range: Range<Int>) -> Bool {
      text[range].allSatisfy { (0x30...0x39).contains($0) || (0x61...0x66).contains($0) }
    }
    func isZero(_ range: Range<Int>) -> Bool { text[range].allSatisfy { $0 == 0x30 } }
    guard isHex(0..<2), isHex(3..<35), isHex(36..<52), isHex(53..<55), !isZero(3..<35), !isZero(36..<52) else { return false }
    let version = text[0..<2]
    return !version.elementsEqual("ff".utf8) && (text.count == 55 || !isZero(0..<2))
  }
}
