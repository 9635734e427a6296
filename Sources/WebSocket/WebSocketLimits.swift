/// The bounds of one connection's cost.
public struct WebSocketLimits: Equatable, Sendable {
  /// A message's bytes, inflated. A compressed message may take twice as many bytes and 1 KiB on the wire.
  public var messageBytesMax: Int
  /// Frames of one message before its last frame, empty ones included.
  public var fragmentsMax: Int

  /// - Parameters:
  ///   - messageBytesMax: 1 ... 1 GiB.
  ///   - fragmentsMax: At least 1.
  public init(messageBytesMax: Int, fragmentsMax: Int = 65_536) {
    precondition((1...1 << 30).contains(messageBytesMax), "messageBytesMax out of 1 ... 1 GiB")
    precondition(fragmentsMax >= 1, "fragmentsMax below 1")
    self.messageBytesMax = messageBytesMax
    self.fragmentsMax = fragmentsMax
  }

  var compressedBytesMax: Int { 2 * messageBytesMax + 1024 }
}
