/// Whose event times close a view's windows: the view's setting `watermark`.
public enum WatermarkScope: String, Sendable, Hashable, CaseIterable {
  /// Each source's own: nobody is late because of another.
  case source
  /// The largest of all sources of a partition: for sources that are used once.
  case partition
}
