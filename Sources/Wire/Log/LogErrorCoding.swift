import Events
import NIOCore
import Serving

extension LogError {
  /// The error as a member of an answer: `{"code":"out_of_range","partition":3,"detail":"…"}`.
  var json: JSONValue {
    var members = JSONObject()
    members["code"] = .string(code.rawValue)
    if let partition { members["partition"] = .int(Int64(partition.index)) }
    if !place.isEmpty { members["place"] = .string(place) }
    members["detail"] = .string(detail)
    return .object(members)
  }

  /// Nil when the value is no log error.
  init?(json: JSONValue?) {
    guard case .string(let name)? = json?["code"], let code = Code(rawValue: name), case .string(let detail)? = json?["detail"]
    else { return nil }
    self.init(code, detail)
    if case .int(let number)? = json?["partition"] { partition = UInt16(exactly: number).map { PartitionID($0) } }
    if case .string(let text)? = json?["place"] { place = text }
  }

  var response: WireResponse {
    let status =
      switch code {
      case .outOfRange: 416
      case .unknownPartition: 404
      case .anotherLog: 409
      case .unavailable, .locked, .diskFull: 503
      case .poisoned, .corrupt, .io, .incompatible: 500
      }
    var extra = JSONObject()
    extra["log"] = json
    let headers = status == 503 ? ["Retry-After": "1"] : [:]
    return WireResponse(HTTPProblem(status: status, code: "log_\(code.rawValue)", detail: detail, headers: headers), extra: extra)
  }

  /// The error of an answer that is no success.
  init(_ response: WireResponse, partition: PartitionID?) {
    if let error = LogError(json: response.json?["log"]) {
      self = error
      return
    }
    var detail = "the log answered \(response.status)"
    if case .string(let text)? = response.json?["detail"] { detail += ": \(text.prefix(512))" }
    self.init(response.status >= 500 ? .unavailable : .incompatible, partition: partition, detail)
  }

  init(_ error: PeerError, partition: PartitionID?) {
    self.init(.unavailable, partition: partition, "no answer from the log: \(error)")
  }
}

extension ByteBuffer {
  /// The most bytes of an error that is read.
  private static let errorBytesMax = 16 << 10

  /// Writes the `u32` length of the error as JSON, little-endian, and the JSON.
  mutating func writeError(_ error: LogError) {
    var text: [UInt8] = []
    error.json.write(to: &text)
    writeInteger(UInt32(text.count), endianness: .little)
    writeBytes(text)
  }

  /// - Returns: Nil when the bytes are no error, or too many.
  mutating func readError() -> LogError? {
    guard let length = readInteger(endianness: .little, as: UInt32.self), length <= ByteBuffer.errorBytesMax,
      let text = readBytes(length: Int(length)), let json = try? JSONValue(parsing: text)
    else { return nil }
    return LogError(json: json)
  }
}
