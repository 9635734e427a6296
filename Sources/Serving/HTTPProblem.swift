import Events

/// An RFC 9457 problem: the form of every error answer over HTTP.
public struct HTTPProblem: Error, Sendable, Hashable {
  public var status: Int
  /// Stable, for programs.
  public var code: String
  /// For people: the fault, its place, and what to do.
  public var detail: String
  public var headers: [String: String]

  public init(status: Int, code: String, detail: String, headers: [String: String] = [:]) {
    self.status = status
    self.code = code
    self.detail = detail
    self.headers = headers
  }

  public static let contentType = "application/problem+json"

  /// The body, with `extra` members after the problem's own.
  public func body(extra: JSONObject = JSONObject()) -> [UInt8] {
    var members = JSONObject()
    members["type"] = .string("about:blank")
    members["title"] = .string(code.split(separator: "_").joined(separator: " "))
    members["status"] = .int(Int64(status))
    members["code"] = .string(code)
    members["detail"] = .string(detail)
    for member in extra { members[member.name] = member.value }
    var bytes: [UInt8] = []
    JSONValue.object(members).write(to: &bytes)
    return bytes
  }
}
