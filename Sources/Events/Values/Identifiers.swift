/// A partition's number: 0 ..< the log's partition count.
public struct PartitionID: Hashable, Comparable, Sendable, CustomStringConvertible {
  /// The largest number of partitions a log may have.
  public static let countMax = 1024

  public let rawValue: UInt16

  public init(_ rawValue: UInt16) { self.rawValue = rawValue }
  public init(_ index: Int) { self.rawValue = UInt16(index) }

  /// The number as an index into per-partition arrays.
  @inlinable public var index: Int { Int(rawValue) }
  public var description: String { String(rawValue) }
  public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}

/// The number of an event in its partition: dense, from 0.
public struct Offset: Hashable, Comparable, Sendable, CustomStringConvertible {
  public let rawValue: Int64

  public static let zero = Offset(0)

  @inlinable public init(_ rawValue: Int64) { self.rawValue = rawValue }

  @inlinable public func advanced(by count: Int) -> Offset { Offset(rawValue + Int64(count)) }
  /// How many events lie in `self ..< end`; negative when `end` comes first.
  @inlinable public func distance(to end: Offset) -> Int { Int(end.rawValue - rawValue) }
  public var description: String { String(rawValue) }
  @inlinable public static func < (a: Self, b: Self) -> Bool { a.rawValue < b.rawValue }
}

/// The next offset of each partition. Acks return one, results carry one, reads can wait for one. As JSON:
/// `{"0":118,"3":90}`, in the order of the partitions' numbers.
public struct OffsetVector: Hashable, Sendable, CustomStringConvertible {
  public var offsets: [PartitionID: Offset]

  public init(_ offsets: [PartitionID: Offset] = [:]) { self.offsets = offsets }

  public subscript(_ partition: PartitionID) -> Offset? {
    get { offsets[partition] }
    set { offsets[partition] = newValue }
  }

  /// Raises each partition to at least its offset in `other`.
  public mutating func formMaximum(_ other: OffsetVector) {
    offsets.merge(other.offsets) { max($0, $1) }
  }

  /// Whether every partition named by `other` has reached its offset here.
  public func reaches(_ other: OffsetVector) -> Bool {
    other.offsets.allSatisfy { partition, offset in (offsets[partition] ?? .zero) >= offset }
  }

  public var sorted: [(partition: PartitionID, offset: Offset)] {
    offsets.sorted { $0.key < $1.key }.map { ($0.key, $0.value) }
  }

  public var description: String {
    var text: [UInt8] = []
    write(to: &text)
    return String(decoding: text, as: UTF8.self)
  }

  /// Appends the JSON form.
  /// - Parameter bytes: The buffer to append to.
  public func write(to bytes: inout [UInt8]) {
    bytes.reserveCapacity(bytes.count + 2 + offsets.count * 16)
    bytes.append(0x7B)
    for (index, one) in offsets.sorted(by: { $0.key < $1.key }).enumerated() {
      bytes.append(contentsOf: (index == 0 ? "\"" : ",\"").utf8)
      bytes.append(contentsOf: one.key.description.utf8)
      bytes.append(contentsOf: "\":".utf8)
      bytes.append(contentsOf: one.value.description.utf8)
    }
    bytes.append(0x7D)
  }

  /// Reads the JSON form.
  /// - Throws: `OffsetVectorError` that names the fault of the text.
  public init(parsing text: String) throws(OffsetVectorError) {
    guard case .object(let members)? = try? JSONValue(parsing: text) else {
      throw OffsetVectorError(detail: "expected a JSON object of partition to offset, as {\"0\":118}, not \(text.prefix(64))")
    }
    var offsets: [PartitionID: Offset] = [:]
    for member in members {
      let (name, value) = (member.name, member.value)
      guard let number = UInt16(name), Int(number) < PartitionID.countMax else {
        throw OffsetVectorError(detail: "'\(name.prefix(64))' is no partition: expected 0 to \(PartitionID.countMax - 1)")
      }
      guard case .int(let offset) = value, offset >= 0 else {
        throw OffsetVectorError(detail: "partition \(number): expected an offset of 0 or more")
      }
      offsets[PartitionID(number)] = Offset(offset)
    }
    self.offsets = offsets
  }
}

public struct OffsetVectorError: Error, CustomStringConvertible {
  public let detail: String
  public var description: String { "offset vector: \(detail)" }
}
