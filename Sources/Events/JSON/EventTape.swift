/// One event as the scanner left it: its attributes, and a leaf for each value below `data` and each extension.
///
/// Pointers lead into the message's bytes or the scanner's arena and live until the next event is read.
struct EventTape: ~Copyable {
  struct Slice: BitwiseCopyable {
    var start: UnsafePointer<UInt8>
    var count: Int
    @inline(__always) var bytes: UnsafeRawBufferPointer { UnsafeRawBufferPointer(start: start, count: count) }
  }

  struct Leaf: BitwiseCopyable {
    var path: Int32
    var kind: ValueKind
    /// The bytes of a string or raw value.
    var count: UInt32 = 0
    /// The value's bits; for a string or raw value, its address.
    var bits: UInt64 = 0

    @inline(__always) var start: UnsafePointer<UInt8> {
      // Made from a pointer by `init(path:kind:slice:)`, never from input.
      UnsafePointer(bitPattern: UInt(bits)).unsafelyUnwrapped
    }

    @inline(__always) init(path: Int32, kind: ValueKind, bits: UInt64 = 0) {
      self.path = path
      self.kind = kind
      self.bits = bits
    }

    @inline(__always) init(path: Int32, kind: ValueKind, slice: Slice) {
      self.path = path
      self.kind = kind
      count = UInt32(slice.count)
      bits = UInt64(UInt(bitPattern: slice.start))
    }
  }

  var source: Slice?
  var sourceHashes = SourceHashes.Hashes()
  var type: Slice?
  var id: Slice?
  var subject: Slice?
  var time: Int64 = 0
  var sequence: UInt64 = 0
  var epoch: UInt64 = 0
  /// False where `time` is the time of arrival.
  var hasTime = false
  var hasSequence = false
  var hasEpoch = false
  /// Values below `data`.
  var leaves = GrowableBuffer<Leaf>(capacity: 64)
  /// Extension attributes, `datacontenttype`, `dataschema`, `data_base64`.
  var attributes = GrowableBuffer<Leaf>(capacity: 16)
  /// The bytes of the leaves' paths, which a batch may have to write.
  var pathBytes = 0
  /// The event's bytes in its message: they bound a batch's growth.
  var textBytes = 0

  mutating func reset(arrival: Int64) {
    source = nil
    type = nil
    id = nil
    subject = nil
    time = arrival
    hasTime = false
    sequence = 0
    epoch = 0
    hasSequence = false
    hasEpoch = false
    pathBytes = 0
    leaves.removeAll()
    attributes.removeAll()
  }
}
