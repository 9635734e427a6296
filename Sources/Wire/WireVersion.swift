import NIOHTTP1

/// The version of the protocol between services; both sides state theirs, and a different one is refused.
public enum WireVersion {
  public static let current = 5
  /// Every request and answer between services has it.
  public static let header = "Penstock-Wire"
  /// The log that a request is for, or that answers: a `LogIdentity`.
  public static let logHeader = "Penstock-Log"

  /// Why an answer is none of this protocol, by its head; nil if it is.
  static func objection(to head: HTTPResponseHead) -> String? {
    guard head.headers.first(name: header) == String(current) else {
      return "the answer (\(head.status.code)) is none of wire version \(current)"
    }
    return nil
  }
}

/// The `Content-Type` of bodies. docs/wire.md describes each byte by byte.
public enum WireContent {
  /// Column batches back to back, each with its header.
  public static let batches = "application/vnd.penstock.batches"
  /// The results of appended batches.
  public static let receipts = "application/vnd.penstock.receipts"
  /// The batches of several partitions.
  public static let reads = "application/vnd.penstock.reads"
  /// Partial rows of a view.
  public static let rows = "application/vnd.penstock.rows"
  /// Entries of the record of views.
  public static let viewsRecord = "application/vnd.penstock.views"
  public static let json = "application/json"
}
