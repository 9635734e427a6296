import Events
import NIOCore
import Views

/// What a store says of a view, as a body. Little-endian; each list's length is held to the bytes there are before anything is made of it.
///
/// ```
/// u32  magic "PNR1"      u32  generation
/// u32  bytes of the definition as YAML, and those
/// u32  offsets: each  u16 partition, i64 next offset
/// u32  event-time watermarks: each  u16 partition, i64 nanoseconds
/// u32  stride: words of state a row    u32  rows    u32  bytes of keys
/// rows × u16 partition, rows × i64 window start, rows × i64 window end, rows × u32 bytes of key, the keys, rows × stride × u64 state
/// ```
enum RowsCoding {
  static let magic: UInt32 = 0x3152_4E50
  static let definitionBytesMax = 1 << 20
  /// The longest answer: about a million rows.
  static let bytesMax = 256 << 20

  static func encode(_ result: PartialResult) -> ByteBuffer {
    let rows = result.rows
    var buffer = ByteBuffer()
    buffer.reserveCapacity(256 + rows.count * (22 + rows.stride * 8) + rows.keyBytes.count)
    func put<T: FixedWidthInteger>(_ value: T) { buffer.writeInteger(value, endianness: .little) }
    put(magic)
    put(UInt32(result.generation))
    let definition = result.definition.yaml
    put(UInt32(definition.utf8.count))
    buffer.writeString(definition)
    put(UInt32(result.asOf.offsets.count))
    for (partition, offset) in result.asOf.sorted {
      put(partition.rawValue)
      put(offset.rawValue)
    }
    put(UInt32(result.eventTimeWatermarks.count))
    for (partition, time) in result.eventTimeWatermarks.sorted(by: { $0.key < $1.key }) {
      put(partition.rawValue)
      put(time.nanoseconds)
    }
    put(UInt32(rows.stride))
    put(UInt32(rows.count))
    put(UInt32(rows.keyBytes.count))
    for partition in rows.partitions { put(partition.rawValue) }
    for start in rows.windowStarts { put(start) }
    for end in rows.windowEnds { put(end) }
    for row in 0..<rows.count { put(UInt32(rows.keyRange(row).count)) }
    buffer.writeBytes(rows.keyBytes)
    for word in rows.states { put(word) }
    return buffer
  }

  /// - Parameter definition: Reads the YAML of a definition; nil when it is none.
  /// - Returns: Nil when the bytes are no result.
  static func decode(_ body: ByteBuffer, definition read: (String) -> ViewDefinition?) -> PartialResult? {
    var buffer = body
    func number<T: FixedWidthInteger>(_ type: T.Type) -> T? { buffer.readInteger(endianness: .little, as: type) }
    guard number(UInt32.self) == magic, let generation = number(UInt32.self), let definitionBytes = number(UInt32.self),
      definitionBytes <= definitionBytesMax, let text = buffer.readString(length: Int(definitionBytes)),
      let definition = read(text)
    else { return nil }
    var asOf = OffsetVector()
    guard let offsets = number(UInt32.self), offsets <= PartitionID.countMax else { return nil }
    for _ in 0..<offsets {
      guard let partition = number(UInt16.self), partition < PartitionID.countMax, let offset = number(Int64.self), offset >= 0
      else { return nil }
      asOf[PartitionID(partition)] = Offset(offset)
    }
    var watermarks: [PartitionID: Timestamp] = [:]
    guard let times = number(UInt32.self), times <= PartitionID.countMax else { return nil }
    for _ in 0..<times {
      guard let partition = number(UInt16.self), let time = number(Int64.self) else { return nil }
      watermarks[PartitionID(partition)] = Timestamp(nanoseconds: time)
    }
    let stride = definition.layout.stride
    guard number(UInt32.self) == UInt32(stride), let count = number(UInt32.self).map({ Int($0) }),
      let keyBytes = number(UInt32.self).map({ Int($0) }),
      buffer.readableBytes == count * (22 + stride * 8) + keyBytes
    else { return nil }
    var rows = PartialRows(stride: stride)
    let isRead = buffer.withUnsafeReadableBytes { bytes in
      append(bytes, count: count, keyBytes: keyBytes, keys: definition.keys.count, asOf, to: &rows)
    }
    guard isRead else { return nil }
    return PartialResult(
      definition: definition, generation: Int(generation), asOf: asOf, eventTimeWatermarks: watermarks, rows: rows)
  }

  private static func append(
    _ bytes: UnsafeRawBufferPointer, count: Int, keyBytes: Int, keys: Int, _ asOf: OffsetVector, to rows: inout PartialRows
  ) -> Bool {
    let stride = rows.stride
    let starts = count * 2, ends = starts + count * 8, lengths = ends + count * 8, keyStart = lengths + count * 4
    let states = keyStart + keyBytes
    func number<T: FixedWidthInteger>(_ type: T.Type, _ at: Int) -> T {
      T(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: type))
    }
    rows.reserveCapacity(count)
    var at = keyStart
    var state = [UInt64](repeating: 0, count: max(stride, 1))
    for row in 0..<count {
      let partition = number(UInt16.self, row * 2)
      let length = Int(number(UInt32.self, lengths + row * 4))
      guard asOf[PartitionID(partition)] != nil, length <= states - at else { return false }
      let key = UnsafeRawBufferPointer(rebasing: bytes[at..<at + length])
      guard KeyCodec.ranges(in: key)?.count == keys else { return false }
      at += length
      for word in 0..<stride { state[word] = number(UInt64.self, states + (row * stride + word) * 8) }
      state.withUnsafeBufferPointer { state in
        guard let base = state.baseAddress else { return }
        rows.append(
          partition: PartitionID(partition), windowStart: number(Int64.self, starts + row * 8),
          windowEnd: number(Int64.self, ends + row * 8), key: key, state: base)
      }
    }
    return at == states
  }
}
