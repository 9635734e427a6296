import Events
import NIOCore
import Views

/// A store's answer about a view, as a body. Little-endian; each list's length is compared with the remaining bytes before
/// anything is made of it.
///
/// ```
/// u32  magic "PNR4"      u32  generation
/// u32  length of the definition as YAML, the definition
/// u32  offsets: each  u16 partition, i64 next offset
/// u32  event-time watermarks: each  u16 partition, i64 nanoseconds
/// u32  slowest active sources: each  u16 partition, i64 nanoseconds, the event-time watermark of its slowest active source
/// i64  end up to which parts of rows may have been dropped, nanoseconds; the least number when none were
/// u32  stride: words of state a row, without tails    u32  rows    u32  bytes of keys    u32  words of states
/// u32  1 when each row has the event-time watermark of its source, else 0
/// rows × u16 partition, rows × i64 window start, rows × i64 window end, rows × u32 bytes of key, rows × u32 words of state,
/// rows × i64 event-time watermark of the source if each has one, the keys, the states
/// ```
enum RowsCoding {
  static let magic: UInt32 = 0x3452_4E50
  static let definitionBytesMax = 1 << 20
  /// The longest answer: about a million rows.
  static let bytesMax = 256 << 20

  static func encode(_ result: PartialResult) -> ByteBuffer {
    let rows = result.rows
    var buffer = ByteBuffer()
    buffer.reserveCapacity(256 + rows.count * 34 + rows.states.count * 8 + rows.keyBytes.count)
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
    for times in [result.eventTimeWatermarks, result.slowestSources] {
      put(UInt32(times.count))
      for (partition, time) in times.sorted(by: { $0.key < $1.key }) {
        put(partition.rawValue)
        put(time.nanoseconds)
      }
    }
    put(result.droppedEnd ?? Int64.min)
    put(UInt32(rows.stride))
    put(UInt32(rows.count))
    put(UInt32(rows.keyBytes.count))
    put(UInt32(rows.states.count))
    put(UInt32(rows.sourceWatermarks.isEmpty ? 0 : 1))
    for partition in rows.partitions { put(partition.rawValue) }
    for start in rows.windowStarts { put(start) }
    for end in rows.windowEnds { put(end) }
    for row in 0..<rows.count { put(UInt32(rows.keyRange(row).count)) }
    for row in 0..<rows.count { put(UInt32(rows.stateRange(row).count)) }
    for time in rows.sourceWatermarks { put(time) }
    buffer.writeBytes(rows.keyBytes)
    for word in rows.states { put(word) }
    return buffer
  }

  /// - Parameter definition: Reads the YAML of a definition; nil when it is malformed.
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
    guard let watermarks = times(from: &buffer), let slowestSources = times(from: &buffer), let droppedEnd = number(Int64.self)
    else { return nil }
    let stride = definition.layout.stride
    guard number(UInt32.self) == UInt32(stride), let count = number(UInt32.self).map({ Int($0) }),
      let keyBytes = number(UInt32.self).map({ Int($0) }),
      let stateWords = number(UInt32.self).map({ Int($0) }), let hasSources = number(UInt32.self),
      hasSources == 0 || hasSources == 1 && definition.hasSourceWatermarks,
      buffer.readableBytes == count * (hasSources == 1 ? 34 : 26) + keyBytes + stateWords * 8
    else { return nil }
    var rows = PartialRows(stride: stride)
    let isRead = buffer.withUnsafeReadableBytes { bytes in
      append(bytes, count: count, keyBytes: keyBytes, hasSources: hasSources == 1, definition, asOf, to: &rows)
    }
    guard isRead else { return nil }
    var result = PartialResult(
      definition: definition, generation: Int(generation), asOf: asOf, eventTimeWatermarks: watermarks, rows: rows)
    result.slowestSources = slowestSources
    if droppedEnd != .min { result.droppedEnd = droppedEnd }
    return result
  }

  /// A time of each of some partitions.
  private static func times(from buffer: inout ByteBuffer) -> [PartitionID: Timestamp]? {
    var times: [PartitionID: Timestamp] = [:]
    guard let count = buffer.readInteger(endianness: .little, as: UInt32.self), count <= PartitionID.countMax else { return nil }
    for _ in 0..<count {
      guard let partition = buffer.readInteger(endianness: .little, as: UInt16.self), partition < PartitionID.countMax,
        let time = buffer.readInteger(endianness: .little, as: Int64.self)
      else { return nil }
      times[PartitionID(partition)] = Timestamp(nanoseconds: time)
    }
    return times
  }

  /// Two results: the `u64` length of the first, and both.
  static func encodePair(_ pair: PinnedResults) -> ByteBuffer {
    let first = encode(pair.first)
    var second = encode(pair.second)
    var buffer = ByteBuffer()
    buffer.reserveCapacity(8 + first.readableBytes + second.readableBytes)
    buffer.writeInteger(UInt64(first.readableBytes), endianness: .little)
    buffer.writeImmutableBuffer(first)
    buffer.writeBuffer(&second)
    return buffer
  }

  /// - Returns: Nil when the bytes are not two results as of the same offsets.
  static func decodePair(_ body: ByteBuffer, definition read: (String) -> ViewDefinition?) -> PinnedResults? {
    var buffer = body
    guard let length = buffer.readInteger(endianness: .little, as: UInt64.self), let length = Int(exactly: length),
      let first = buffer.readSlice(length: length).flatMap({ decode($0, definition: read) }),
      let second = decode(buffer, definition: read), first.asOf == second.asOf
    else { return nil }
    return PinnedResults(first: first, second: second)
  }

  private static func append(
    _ bytes: UnsafeRawBufferPointer, count: Int, keyBytes: Int, hasSources: Bool, _ definition: ViewDefinition,
    _ asOf: OffsetVector, to rows: inout PartialRows
  ) -> Bool {
    let starts = count * 2, ends = starts + count * 8, keyLengths = ends + count * 8, stateLengths = keyLengths + count * 4
    let sources = stateLengths + count * 4
    let keyStart = sources + (hasSources ? count * 8 : 0)
    let states = keyStart + keyBytes
    func number<T: FixedWidthInteger>(_ type: T.Type, _ at: Int) -> T {
      T(littleEndian: bytes.loadUnaligned(fromByteOffset: at, as: type))
    }
    rows.reserveCapacity(count)
    var keyAt = keyStart
    var stateAt = states
    for row in 0..<count {
      let partition = number(UInt16.self, row * 2)
      let keyLength = Int(number(UInt32.self, keyLengths + row * 4))
      let stateLength = Int(number(UInt32.self, stateLengths + row * 4)) * 8
      guard asOf[PartitionID(partition)] != nil, keyLength <= states - keyAt, stateLength <= bytes.count - stateAt else {
        return false
      }
      let key = UnsafeRawBufferPointer(rebasing: bytes[keyAt..<keyAt + keyLength])
      guard KeyCodec.ranges(in: key)?.count == definition.keys.count else { return false }
      let isRead = rows.append(
        partition: PartitionID(partition), windowStart: number(Int64.self, starts + row * 8),
        windowEnd: number(Int64.self, ends + row * 8), key: key,
        stored: UnsafeRawBufferPointer(rebasing: bytes[stateAt..<stateAt + stateLength]), layout: definition.layout,
        sourceWatermark: hasSources ? number(Int64.self, sources + row * 8) : nil)
      guard isRead else { return false }
      keyAt += keyLength
      stateAt += stateLength
    }
    return keyAt == states && stateAt == bytes.count
  }
}
