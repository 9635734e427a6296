import Events

/// The sources that a client's handshakes name, and their positions at the first handshake: another run stored what was there by
/// then.
struct NamedSources {
  /// The most sources to ask the welcome about; if there are more, it asks about none.
  private static let countMax = 200

  private let configured: [[UInt8]]
  /// The sources that the present handshake names.
  private var named: [[UInt8]] = []
  /// The position of each source that the first handshake named; the inner nil stands for one that the server did not know.
  private var began: [[UInt8]: ResumePosition?] = [:]
  /// Whether a message was sent, on any connection.
  private var hasSent = false

  init(_ configuration: DeviceClientConfiguration) { configured = configuration.sources.map { Array($0.utf8) } }

  mutating func noteSent() { hasSent = true }

  /// The sources that the next handshake names.
  /// - Parameter window: The messages that wait. The first handshake names the sources of all of them; later ones name the
  ///   sources of messages whose acknowledgement may have been lost.
  mutating func next(_ window: MessageWindow) -> [[UInt8]] {
    named = configured
    guard configured.count != 1 else { return named }
    var pending: Set<[UInt8]> = []
    window.forEach { message in
      guard message.wasSent || !hasSent, pending.count <= NamedSources.countMax else { return }
      for mark in message.marks where mark.sequence != nil && mark.sourceEnd > mark.sourceStart {
        pending.insert(Array(message.source(of: mark)))
      }
    }
    pending.subtract(configured)
    if pending.count <= NamedSources.countMax { named += pending.sorted { $0.lexicographicallyPrecedes($1) } }
    // The name goes twice, because one named alone would become the source of events that have none.
    if named.count == 1 { named.append(named[0]) }
    return named
  }

  /// Takes the positions in a handshake's answer.
  mutating func learn(_ resume: [UTF8Text: ResumePosition]) {
    guard !hasSent else { return }
    for source in named { began[source] = .some(resume[UTF8Text(String(decoding: source, as: UTF8.self))]) }
  }

  /// Whether the server had nothing of the source when this client began: then all that it has is ours.
  /// - Parameter hasDuplicates: Decides for sources that the first handshake did not name. A client none of whose events was
  ///   known so far sends new ones.
  func isNew(_ position: ResumePosition, of source: ArraySlice<UInt8>, hasDuplicates: Bool) -> Bool {
    guard let began = began[Array(source)] else { return !hasDuplicates }
    guard let began else { return true }
    return (position.epoch, position.sequence) > (began.epoch, began.sequence)
  }
}
