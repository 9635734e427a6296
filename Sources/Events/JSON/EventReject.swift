/// The reason why an event, or a whole message, was rejected. Devices rely on the raw values.
public enum RejectCode: String, Sendable, CaseIterable {
  case malformedJSON = "malformed_json"
  /// The event is no JSON object.
  case invalidEvent = "invalid_event"
  case missingSource = "missing_source"
  case missingType = "missing_type"
  case invalidSource = "invalid_source"
  case invalidType = "invalid_type"
  case invalidID = "invalid_id"
  case invalidTime = "invalid_time"
  /// The event's time is ahead of the clock, and such events are refused here.
  case timeInFuture = "time_in_future"
  case invalidSubject = "invalid_subject"
  case invalidSequence = "invalid_sequence"
  case invalidEpoch = "invalid_epoch"
  case invalidSpecversion = "invalid_specversion"
  /// CloudEvents does not allow an extension attribute's name or value.
  case invalidAttribute = "invalid_attribute"
  case invalidData = "invalid_data"
  case duplicateMember = "duplicate_member"
  case tooDeep = "too_deep"
  case tooManyMembers = "too_many_members"
  case numberOutOfRange = "number_out_of_range"
  case stringTooLong = "string_too_long"
  /// A string is no Unicode text: it holds half a surrogate pair.
  case invalidString = "invalid_string"
  /// The connection's token does not let it write as the event's source.
  case forbiddenSource = "forbidden_source"
  /// The event's epoch is below its source's present one.
  case fenced
  /// The log took none of its batch: its whole message was refused, by a 503 or the end of the connection, and may be sent again.
  /// It is counted and listed; the device gets no reject message for it.
  case logRefused = "log_refused"
}

/// The code and detail of a rejected event or message.
public struct EventReject: Error, Sendable, Hashable {
  /// The most bytes of a detail: it may quote the sender, but not at any length.
  public static let detailBytesMax = 1024

  public var code: RejectCode
  /// The fault, its place, and what to do, for the device's author.
  public var detail: String

  public init(_ code: RejectCode, _ detail: String) {
    self.code = code
    self.detail =
      detail.utf8.count <= EventReject.detailBytesMax
      ? detail : String(decoding: detail.utf8.prefix(EventReject.detailBytesMax), as: UTF8.self)
  }
}
