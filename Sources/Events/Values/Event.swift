/// One CloudEvents 1.0 event, for the places where an event is handled alone. Batches keep columns instead.
public struct Event: Sendable {
  public var source: String
  public var type: String
  public var id: String?
  public var time: Timestamp
  public var subject: String?
  public var sequence: UInt64?
  public var epoch: UInt64?
  /// `datacontenttype`, `dataschema`, `data_base64` and the extension attributes, by name. Names consist of a–z, 0–9 and _;
  /// values are strings, booleans and integers.
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
  ///   - output: The buffer to append to.
  ///   - extra: Further members, put before `data`; the event's own attributes of these names are left out.
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
    for (name, value) in attributes.sorted(by: { $0.key < $1.key }) where !extra.contains(where: { $0.name == name }) {
      member(name, value)
    }
    for (name, value) in extra { member(name, value) }
    if let data { member("data", data) }
    output.append(0x7D)
  }
}

extension Event: Hashable {
  /// Texts are equal when their bytes are: `UTF8Text` says why.
  public static func == (a: Event, b: Event) -> Bool {
    a.texts == b.texts && a.time == b.time && a.sequence == b.sequence && a.epoch == b.epoch && a.attributes == b.attributes
      && a.data == b.data
  }

  public func hash(into hasher: inout Hasher) {
    hasher.combine(texts)
    hasher.combine(time)
    hasher.combine(sequence)
    hasher.combine(epoch)
  }

  private var texts: [UTF8Text?] { [UTF8Text(source), UTF8Text(type), id.map { UTF8Text($0) }, subject.map { UTF8Text($0) }] }
}
