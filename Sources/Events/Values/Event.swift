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
  /// - Parameters:
  ///   - output: What it is appended to.
  ///   - extra: Members of one's own, put before `data`.
  public func writeJSON(to output: inout [UInt8], extra: [(name: String, value: JSONValue)] = []) {
    output.append(contentsOf: "{\"specversion\":\"1.0\"".utf8)
    func member(_ name: String, _ value: JSONValue) {
      output.append(0x2C)
      JSONValue.writeString(name, to: &output)
      output.append(0x3A)
      value.write(to: &output)
    }
    if let id { member("id", .string(id)) }
    member("source", .string(source))
    member("type", .string(type))
    member("time", .string(time.description))
    if let subject { member("subject", .string(subject)) }
    if let sequence { member("sequence", .number(String(sequence))) }
    if let epoch { member("epoch", .number(String(epoch))) }
    for (name, value) in attributes.sorted(by: { $0.key < $1.key }) { member(name, value) }
    for (name, value) in extra { member(name, value) }
    if let data { member("data", data) }
    output.append(0x7D)
  }
}
