import Events
import Producers

/// The settings of a log. Values outside of their bounds are a programmer's mistake: the reader of the settings checks
/// them first.
public struct LogConfiguration: Sendable, Hashable {
  /// The moment when an append counts as done.
  public enum SyncPolicy: Sendable, Hashable {
    /// After its bytes are synced. No crash loses an acknowledged event.
    case always
    /// After its bytes are written; a sync follows within this time. A power loss takes back events acknowledged since
    /// the last sync. Readers see only synced events.
    case interval(Duration)
    /// After its bytes are written; the kernel syncs when it wants. Readers see all written events, so after a power
    /// loss a reader may be ahead of the log.
    case never
  }

  public struct Retention: Sendable, Hashable {
    /// Segments whose last append is older may go; nil keeps all.
    public var age: Duration?
    /// The most bytes a partition keeps; whole segments go, oldest first, until it holds no more; nil keeps all.
    public var bytes: Int?

    public init(age: Duration? = nil, bytes: Int? = nil) {
      self.age = age
      self.bytes = bytes
    }
  }

  public static let segmentBytesRange = 1 << 20...4 << 30
  public static let dedupIdentitiesRange = IdentityWindow.identitiesRange

  /// The data folder; the log lives in its `log` subfolder.
  public var directory: String
  /// 1 ... `PartitionID.countMax`. Fixed for the life of the folder.
  public var partitions = 8
  /// Whether a log with another number of partitions is refused; else it keeps its own.
  public var isPartitionCountFixed = true
  public var sync = SyncPolicy.always
  /// A segment is full when the next batch would make it larger.
  public var segmentBytesMax = 64 << 20
  public var codec = BatchHeader.Codec.none
  public var retention = Retention()
  /// Appends are refused with `.diskFull` while the disk has less than this free, and accepted again once it has more,
  /// so that views can checkpoint and acknowledged events can be kept. 0 leaves it to the disk to say when it is full.
  public var diskReserveBytes = 64 << 20
  /// How often the disk is asked while appends are refused for want of room.
  var diskRoomInterval = Duration.milliseconds(250)
  /// How long (source, id) of events without a sequence is remembered, by append time.
  public var dedupWindow = Duration.seconds(3600)
  /// The most (source, id) remembered per partition; the oldest are forgotten first, early ones are counted.
  public var dedupIdentitiesMax = 262_144
  /// The bytes that may wait in memory, per partition; beyond it, `.unavailable`. One batch is always accepted.
  public var pendingBytesMax = 16 << 20
  public var pendingBatchesMax = 4096
  /// The most that is written between two syncs.
  public var groupBytesMax = 16 << 20
  /// The latest batches kept in memory for readers at the tail, per partition; 0 keeps none.
  public var recentBytesMax = 1 << 20

  public init(directory: String) { self.directory = directory }

  var logDirectory: String { directory + "/log" }
  /// Bytes of a segment between two entries of its index: about a thousand entries a segment, however large.
  var indexIntervalBytes: Int { max(64 << 10, segmentBytesMax >> 10) }

  func checkBounds() {
    precondition((1...PartitionID.countMax).contains(partitions), "partitions")
    // Tests roll with a few kilobytes; users' settings are held to segmentBytesRange where they are read.
    precondition(segmentBytesMax >= 1024 && segmentBytesMax <= LogConfiguration.segmentBytesRange.upperBound, "segmentBytesMax")
    precondition(LogConfiguration.dedupIdentitiesRange.contains(dedupIdentitiesMax), "dedupIdentitiesMax")
    precondition(
      dedupWindow >= .zero && diskReserveBytes >= 0 && pendingBytesMax > 0 && pendingBatchesMax > 0 && groupBytesMax > 0
        && recentBytesMax >= 0)
    if case .interval(let interval) = sync { precondition(interval > .zero, "sync interval") }
  }
}
