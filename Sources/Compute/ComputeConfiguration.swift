import Events

/// The settings of compute. Bounds are checked where the settings are read.
public struct ComputeConfiguration: Sendable, Hashable {
  /// The folder that has a folder with `state.sqlite` for each worker.
  public var directory: String
  /// 0: one for each core.
  public var workers: Int
  public var checkpointInterval: Duration
  /// Changed rows that make a checkpoint due before its time: bounds memory and the length of the transaction.
  public var changedRowsMax: Int
  /// Bytes asked of the log at a time.
  public var readBytesMax: Int
  /// Bytes of views' rows in memory, over all workers: beyond it, the rows that changed longest ago are in the files only.
  public var memoryBytesMax: Int

  /// The late events of a view and partition that are listed, the last ones. All are counted.
  public var lateEventsMax: Int

  /// The kept checkpoints of each worker's file for reads at a past point, the time between two, and the bytes of all.
  /// 0 keeps none.
  public var keptCheckpointsMax: Int
  public var keptCheckpointInterval: Duration
  public var keptBytesMax: Int

  /// The log that may take the place of the one that the state was computed from: the old state is then put aside, and computed
  /// anew.
  public var acceptedLog: LogIdentity?

  /// How far beyond its batch's append time an event's time moves its source's event-time watermark.
  public var clockAheadMax: Duration
  /// A source that appended nothing for this long holds no row's `final` back.
  public var sourceIdle: Duration

  /// The folder with the data folders of all instances on this machine: a new owner of a partition begins with the state that its
  /// last owner left there.
  public var neighbours: String?

  public init(
    directory: String, workers: Int = 0, checkpointInterval: Duration = .seconds(1), changedRowsMax: Int = 200_000,
    readBytesMax: Int = 4 << 20, memoryBytesMax: Int = 1 << 30, lateEventsMax: Int = 100_000,
    keptCheckpointsMax: Int = 4,
    keptCheckpointInterval: Duration = .seconds(3600), keptBytesMax: Int = 1 << 30,
    clockAheadMax: Duration = .seconds(60), sourceIdle: Duration = .seconds(600), neighbours: String? = nil,
    acceptedLog: LogIdentity? = nil
  ) {
    self.directory = directory
    self.workers = workers
    self.checkpointInterval = checkpointInterval
    self.changedRowsMax = changedRowsMax
    self.readBytesMax = readBytesMax
    self.memoryBytesMax = memoryBytesMax
    self.lateEventsMax = lateEventsMax
    self.keptCheckpointsMax = keptCheckpointsMax
    self.keptCheckpointInterval = keptCheckpointInterval
    self.keptBytesMax = keptBytesMax
    self.clockAheadMax = clockAheadMax
    self.sourceIdle = sourceIdle
    self.neighbours = neighbours
    self.acceptedLog = acceptedLog
  }

  var kept: KeptCheckpoints.Bounds {
    KeptCheckpoints.Bounds(
      countMax: keptCheckpointsMax, interval: keptCheckpointInterval, bytesMax: keptBytesMax / max(1, workers))
  }

  /// The bytes of rows of a worker and the replays beside it.
  var workerBytesMax: Int { memoryBytesMax / max(1, workers) }
}
