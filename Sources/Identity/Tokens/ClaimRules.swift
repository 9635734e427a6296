#if Secure
  import Events
  import Serving

  /// The rules for a JWT's claims, and the caller that the claims stand for.
  public struct ClaimRules: Sendable {
    /// The audience that must be among the token's `aud`.
    public var audience: String
    /// The required `iss`; nil takes any issuer whose key is known.
    public var issuer: String?
    /// The most that clocks may differ by.
    public var leeway: Duration
    /// The claim that lists the sources that the token's holder may write as; without it, `sub` is the only one.
    public var sourcesClaim: String

    public init(audience: String, issuer: String? = nil, leeway: Duration = .seconds(30), sourcesClaim: String = "sources") {
      self.audience = audience
      self.issuer = issuer
      self.leeway = leeway
      self.sourcesClaim = sourcesClaim
    }

    /// - Parameter claims: The claims of a token whose signature is right.
    func caller(_ claims: JSONObject, now: Timestamp) throws(AccessDenial) -> Caller {
      guard let expiry = try ClaimRules.time(claims["exp"], "exp") else {
        throw .invalid(reason: "it has no 'exp': a token that is good for ever is not taken")
      }
      let leeway = leeway.nanosecondsHeld
      let end = Timestamp(nanoseconds: expiry.nanoseconds + leeway)
      guard now < end else { throw .expired }
      if let start = try ClaimRules.time(claims["nbf"], "nbf"), now.nanoseconds < start.nanoseconds - leeway {
        throw .invalid(reason: "it is not valid yet ('nbf')")
      }
      guard try ClaimRules.texts(claims["aud"], "aud").contains(where: { $0.hasSameBytes(as: audience) }) else {
        throw .invalid(reason: "it is for another audience ('aud')")
      }
      if let issuer, claims["iss"] != .string(issuer) { throw .invalid(reason: "it is of another issuer ('iss')") }
      guard case .string(let subject)? = claims["sub"], (1...Caller.subjectBytesMax).contains(subject.utf8.count) else {
        throw .invalid(reason: "its 'sub' is missing, or longer than \(Caller.subjectBytesMax) bytes")
      }
      return Caller(
        subject: subject, scopes: try ClaimRules.scopes(claims), sources: try sources(claims, subject), expiry: end,
        eventsPerSecondMax: try ClaimRules.rate(claims["events_per_second"]))
    }

    /// `sub` is taken literally: a star in it is a star.
    private func sources(_ claims: JSONObject, _ subject: String) throws(AccessDenial) -> SourcePermission {
      guard let claim = claims[sourcesClaim] else { return SourcePermission(source: subject) }
      let patterns = try ClaimRules.texts(claim, sourcesClaim)
      guard patterns.count <= SourcePermission.patternsMax else {
        throw .invalid(reason: "'\(sourcesClaim)' has more than \(SourcePermission.patternsMax) entries")
      }
      return SourcePermission(patterns: patterns)
    }

    /// `scope` as RFC 8693 has it, or `scopes` or `scp` as issuers spell it, text or list; none of them is a device's token.
    /// Scopes of other services are passed over.
    private static func scopes(_ claims: JSONObject) throws(AccessDenial) -> Set<AccessScope> {
      guard let name = ["scope", "scopes", "scp"].first(where: { claims[$0] != nil }) else { return [.ingest] }
      let words = try texts(claims[name], name).flatMap { $0.split(separator: " ") }
      return Set(words.compactMap { AccessScope(rawValue: String($0)) })
    }

    private static func texts(_ value: JSONValue?, _ name: String) throws(AccessDenial) -> [String] {
      switch value {
      case .string(let text)?: return [text]
      case .array(let elements)?:
        let texts = elements.compactMap { element -> String? in
          if case .string(let text) = element { text } else { nil }
        }
        guard texts.count == elements.count else { throw .invalid(reason: "'\(name)' is not all text") }
        return texts
      case nil: return []
      default: throw .invalid(reason: "'\(name)' is neither text nor a list of texts")
      }
    }

    /// RFC 7519's NumericDate: seconds since 1970, whole or not.
    private static func time(_ value: JSONValue?, _ name: String) throws(AccessDenial) -> Timestamp? {
      let seconds: Double
      switch value {
      case nil: return nil
      case .int(let whole)?: seconds = Double(whole)
      case .double(let number)?: seconds = number
      default: throw .invalid(reason: "'\(name)' is no number")
      }
      // 1970 to 2242: nanoseconds hold all of it, with any leeway of less than nineteen years.
      guard (0..<8.6e9).contains(seconds) else { throw .invalid(reason: "'\(name)' is out of range") }
      return Timestamp(nanoseconds: Int64(seconds * 1e9))
    }

    private static func rate(_ value: JSONValue?) throws(AccessDenial) -> Int? {
      switch value {
      case nil: return nil
      case .int(let rate)? where (1...1_000_000_000).contains(rate): return Int(rate)
      default: throw .invalid(reason: "'events_per_second' is no whole number from 1 to 1000000000")
      }
    }
  }
#endif
