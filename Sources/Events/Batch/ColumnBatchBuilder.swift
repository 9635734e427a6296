/// Collects events of one partition into columns, and seals them into a batch. Belongs to one event loop, as its reader does.
public final class ColumnBatchBuilder {
  /// A batch is full when the text of its events reaches this many bytes; that bounds memory and the payload.
  public static let textBytesTarget = 1 << 20

  public let partition: PartitionID
  // Behind a pointer, as the reader's scanner is.
  private let columns: UnsafeMutablePointer<BatchColumns>

  public init(partition: PartitionID) {
    self.partition = partition
    columns = .allocate(capacity: 1)
    columns.initialize(to: BatchColumns(partition: partition))
  }

  deinit {
    columns.deinitialize(count: 1)
    columns.deallocate()
  }

  /// Events since the last seal, 0 ... 65,536.
  public var count: Int { columns.pointee.count }
  public var isEmpty: Bool { columns.pointee.count == 0 }
  /// Whether the batch must be sealed before another event is appended.
  public var isFull: Bool { columns.pointee.isFull }

  public func append(_ reader: EventReader) {
    reader.withScanner { columns.pointee.append($0) }
  }

  /// The builder's columns without a reference to count, for the one call an event that must cost nothing else.
  public struct Columns {
    fileprivate let columns: UnsafeMutablePointer<BatchColumns>

    /// Whether the batch must be sealed before another event is appended.
    public var isFull: Bool { columns.pointee.isFull }

    public func append(_ reader: EventReader) {
      reader.withScanner { columns.pointee.append($0) }
    }
  }

  /// - Returns: The columns, which must not be used once nobody holds the builder any longer.
  public var unownedColumns: Columns { Columns(columns: columns) }

  /// Encodes the collected events and begins anew.
  /// - Parameter reader: The reader that read the events.
  /// - Returns: A batch with base offset 0 and append time 0, to be placed by the log; nil when there is no event.
  public func seal(_ reader: EventReader) -> ColumnBatch? {
    reader.withScanner { columns.pointee.seal($0) }
  }
}
