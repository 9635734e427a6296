import Events

/// A message being read: a long one piece by piece, so that the loop turns meanwhile.
struct MessageReading {
  /// Bytes read in one turn of the loop: some milliseconds' work, however many members the events have.
  static let pieceBytes = 128 << 10

  let tracker: MessageTracker
  let number: Int
  let arrival: Timestamp
  let byteCount: Int
  let isTraced: Bool
  /// The bytes of a message longer than a piece, for as long as it is read.
  let text: MessageText?
  /// The events of the pieces read that wait for the log.
  var queued = 0
  /// The part of them that its tracker does not know yet.
  var untold = 0
  var rejected = 0

  /// The end of the present piece, once this position has been read.
  func pieceEnd(from position: Int) -> Int { text == nil ? .max : position + MessageReading.pieceBytes }
}

/// A copy of a message's bytes, with the padding that reading needs.
final class MessageText {
  private let memory: UnsafeMutableRawBufferPointer

  init(copying bytes: UnsafeRawBufferPointer) {
    memory = .allocate(byteCount: bytes.count + EventReader.padding, alignment: 16)
    memory.copyMemory(from: bytes)
    UnsafeMutableRawBufferPointer(rebasing: memory[bytes.count...]).initializeMemory(as: UInt8.self, repeating: 0)
  }

  deinit { memory.deallocate() }

  var bytes: UnsafeRawBufferPointer {
    UnsafeRawBufferPointer(rebasing: memory[..<(memory.count - EventReader.padding)])
  }
}
