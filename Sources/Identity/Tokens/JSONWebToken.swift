#if Secure
  import Events
  import Serving

  /// A JWT in compact form (RFC 7519, RFC 7515), taken apart and not believed yet.
  struct JSONWebToken {
    /// A longer token is refused unread.
    static let bytesMax = 8192

    /// `alg` as the token states it. It is never chosen by us, only compared with each key's algorithm.
    var algorithm: String
    var keyID: UTF8Text?
    var claims: JSONObject
    /// The bytes that the signature covers: header, dot, payload, as they came.
    var signed: [UInt8]
    var signature: [UInt8]

    init(_ text: Substring) throws(AccessDenial) {
      guard text.utf8.count <= JSONWebToken.bytesMax else {
        throw .invalid(reason: "longer than \(JSONWebToken.bytesMax) bytes")
      }
      let parts = text.split(separator: ".", omittingEmptySubsequences: false)
      guard parts.count == 3, let signature = Base64URL.decode(parts[2]), !signature.isEmpty else {
        throw .invalid(reason: "neither a known token nor a signed JWT")
      }
      let header = try JSONWebToken.object(parts[0], "header")
      guard case .string(let algorithm)? = header["alg"] else { throw .invalid(reason: "its header has no 'alg'") }
      // RFC 7515, section 4.1.11: a token with an unknown critical header must be refused.
      guard header["crit"] == nil else { throw .invalid(reason: "its header has 'crit', of which nothing is known here") }
      self.algorithm = algorithm
      if let keyID = header["kid"] {
        guard case .string(let text) = keyID else { throw .invalid(reason: "its 'kid' is no string") }
        self.keyID = UTF8Text(text)
      }
      claims = try JSONWebToken.object(parts[1], "payload")
      signed = Array(text.utf8[..<parts[1].endIndex])
      self.signature = signature
    }

    private static func object(_ part: Substring, _ name: String) throws(AccessDenial) -> JSONObject {
      guard let bytes = Base64URL.decode(part) else { throw .invalid(reason: "its \(name) is not base64url") }
      do {
        if case .object(let members) = try JSONValue(parsing: bytes) { return members }
      } catch {
        throw .invalid(reason: "its \(name) is not JSON")
      }
      throw .invalid(reason: "its \(name) is no JSON object")
    }
  }
#endif
