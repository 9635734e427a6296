/// A note about one source, for people to look at.
protocol SourceNote: Sendable {
  /// Its first bytes, repaired to UTF-8.
  var source: String { get }
  /// The time of what was noted last.
  var time: Timestamp { get }
}

/// Notes about sources, one each: of the sources that were noted last.
struct RecentSources<Note: SourceNote>: Sendable {
  /// The most sources kept.
  static var sourcesMax: Int { 32 }

  private var notes: [UTF8Text: Note] = [:]

  init() {}

  /// The note about a source, if it has one. Setting one lets go of the oldest where there are too many.
  subscript(source: String) -> Note? {
    get { notes[UTF8Text(source)] }
    set {
      notes[UTF8Text(source)] = newValue
      guard notes.count > Self.sourcesMax, let oldest = notes.values.min(by: { $0.time < $1.time }) else { return }
      notes[UTF8Text(oldest.source)] = nil
    }
  }

  /// The source that was noted last comes first.
  var list: [Note] { Self.ordered(Array(notes.values)) }

  /// The newest `sourcesMax` of these notes, the newest first.
  static func ordered(_ notes: [Note]) -> [Note] {
    Array(notes.sorted { ($1.time, UTF8Text($0.source)) < ($0.time, UTF8Text($1.source)) }.prefix(sourcesMax))
  }
}
