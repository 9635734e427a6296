/// What compute is told. Bounds are checked where the settings are read.
public struct ComputeConfiguration: Sendable {
  /// Holds a folder with `state.sqlite` for each worker.
  public var directory: String
  /// 0: one for each core.
  public var workers: Int
  public var checkpointInterval: Duration
  /// Changed rows that make a checkpoint due before its time: bounds memory and the length of the transaction.
  public var changedRowsMax: Int
  /// Bytes asked of the log at a time.
  public var readBytesMax: Int

  /// Holds the data folders of all instances on this machine: whoever takes a partition over begins with the state its last owner left there.
  public var neighbours: String?

  public init(
    directory: String, workers: Int = 0, checkpointInterval: Duration = .seconds(1), changedRowsMax: Int = 200_000,
    readBytesMax: Int = 4 << 20, neighbours: String? = nil
  ) {
    self.directory = directory
    self.workers = workers
    self.checkpointInterval = checkpointInterval
    self.changedRowsMax = changedRowsMax
    self.readBytesMax = readBytesMax
    self.neighbours = neighbours
  }
}
