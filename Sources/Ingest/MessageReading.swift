import Events

/// A message as it is read: of a long one a piece at a time, so that the loop turns meanwhile.
struct MessageReading {
  /// Bytes read in one turn of the loop: some milliseconds' work, however many members the events have.
  static let pieceBytes = 128 << 10

  let tracker: MessageTracker
  let number: Int
  let arrival: Timestamp
  let byteCount: Int
  let isTraced: Bool
  /// Of a message longer than a piece, its bytes, for as long as it is read.
  let text: MessageText?
  /// Events that wait for the log, of the pieces read.
  var queued = 0
  /// Of these, those its tracker was not told of yet.
  var untold = 0
  var rejected = 0

  /// Where the present piece ends, once so much has been read.
  func pieceEnd(from position: Int) -> Int { text == nil ? .max : position + MessageReading.pieceBytes }
}

/// A message's bytes, copied, with the padding that reading takes.
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
