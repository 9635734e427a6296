/// Why an event, or a whole message, was not taken. The raw values are part of the interface devices rely on.
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
  case invalidSubject = "invalid_subject"
  case invalidSequence = "invalid_sequence"
  case invalidEpoch = "invalid_epoch"
  case invalidSpecversion = "invalid_specversion"
  /// An extension attribute whose name or value CloudEvents does not allow.
  case invalidAttribute = "invalid_attribute"
  case invalidData = "invalid_data"
  case duplicateMember = "duplicate_member"
  case tooDeep = "too_deep"
  case tooManyMembers = "too_many_members"
  case numberOutOfRange = "number_out_of_range"
  case stringTooLong = "string_too_long"
  /// A string that stands for no Unicode text: half a surrogate pair.
  case invalidString = "invalid_string"
  /// The connection's token does not let it write as the event's source.
  case forbiddenSource = "forbidden_source"
  /// The event's epoch is below its source's present one.
  case fenced
  /// The log took none of its batch: its whole message was refused, by a 503 or the end of the connection, and may be sent again. Counted
  /// and listed; no message of its own says so.
  case logRefused = "log_refused"
}

/// An event, or a whole message, that was not taken, and why.
public struct EventReject: Error, Sendable, Hashable {
  /// Bytes of a detail: what a sender wrote may be quoted in it, but not at any length.
  public static let detailBytesMax = 1024

  public var code: RejectCode
  /// Says what is wrong, where, and what to do, for the device's author.
  public var detail: String

  public init(_ code: RejectCode, _ detail: String) {
    self.code = code
    self.detail =
      detail.utf8.count <= EventReject.detailBytesMax
      ? detail : String(decoding: detail.utf8.prefix(EventReject.detailBytesMax), as: UTF8.self)
  }
}
