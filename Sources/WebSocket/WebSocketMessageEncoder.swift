import NIOCore

/// Writes data messages as frames: compressed if compression was agreed and pays, masked if we are the client.
///
/// One per connection: the messages of a connection share a deflate window. The compressor, 256 KiB and more, is made for the
/// first message that is compressed.
public struct WebSocketMessageEncoder: ~Copyable {
  private let isDeflateAgreed: Bool
  private let compressBytesMin: Int
  private var deflater: Deflater
  private var maskKeys: WebSocketMaskKeys?

  /// - Parameters:
  ///   - role: Which end we are: a client masks.
  ///   - deflate: The parameters that the handshake agreed on; nil for no compression.
  ///   - settings: Level and smallest size to compress.
  public init(
    role: WebSocketRole, deflate: WebSocketDeflateParameters? = nil, settings: WebSocketDeflateSettings = .init()
  ) {
    precondition((1...9).contains(settings.level), "deflate level out of 1 ... 9")
    isDeflateAgreed = deflate != nil
    deflater = Deflater(
      windowBits: deflate?.windowBits(sentBy: role) ?? 15, level: settings.level,
      resets: deflate?.resets(sentBy: role) ?? false)
    compressBytesMin = settings.compressBytesMin
    maskKeys = role == .client ? WebSocketMaskKeys() : nil
  }

  /// A key for a frame that is written without this encoder: nil for a server.
  public mutating func nextMaskKey() -> UInt32? { maskKeys?.next() }

  /// Appends one message as one frame.
  ///
  /// - Parameters:
  ///   - kind: Text or binary.
  ///   - payload: Valid UTF-8 if `kind` is text: not checked.
  ///   - compress: Whether to compress, if it was agreed and the message is not below `compressBytesMin`.
  ///   - scratch: This thread's scratch memory, reused from call to call.
  ///   - buffer: The buffer to append the frame to.
  public mutating func write(
    _ kind: WebSocketMessage.Kind, _ payload: UnsafeRawBufferPointer, compress: Bool = true, _ scratch: WebSocketScratch,
    into buffer: inout ByteBuffer
  ) {
    let opcode: WebSocketOpcode = kind == .text ? .text : .binary
    let key = maskKeys?.next()
    guard compress && isDeflateAgreed && payload.count >= compressBytesMin else {
      buffer.writeWebSocketFrame(opcode, payload, maskKey: key)
      return
    }
    var compressed = MessageBuffer()
    scratch.lend(to: &compressed)
    // Without memory for a compressor, messages go uncompressed, which every peer accepts.
    if deflater.deflate(payload, into: &compressed) {
      buffer.writeWebSocketFrame(opcode, compressed.bytes, isCompressed: true, maskKey: key)
    } else {
      buffer.writeWebSocketFrame(opcode, payload, maskKey: key)
    }
    scratch.takeBack(from: &compressed)
  }
}
