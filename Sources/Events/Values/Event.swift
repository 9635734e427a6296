/// One CloudEvents 1.0 event, for the places where an event is handled alone. Batches keep columns instead.
public struct Event: Sendable, Hashable {
  public var source: String
  public var type: String
  public var id: String?
  public var time: Timestamp
  public var subject: String?
  public var sequence: UInt64?
  public var epoch: UInt64?
  /// `datacontenttype`, `dataschema`, `data_base64` and the extension attributes, by name; strings, booleans and integers.
  public var attributes: [String: JSONValue]
  /// Nil when the event carries no `data`.
  public var data: JSONValue?

  public init(
    source: String, type: String, id: String? = nil, time: Timestamp, subject: String? = nil, sequence: UInt64? = nil,
    epoch: UInt64? = nil, attributes: [String: JSONValue] = [:], data: JSONValue? = nil
  ) {
    self.source = source
    self.type = type
    self.id = id
    self.time = time
    self.subject = subject
    self.sequence = sequence
    self.epoch = epoch
    self.attributes = attributes
    self.data = data
  }

  /// Appends the CloudEvents JSON form.
  public func writeJSON(to output: inout [UInt8]) { fatalError("to come") }
}
