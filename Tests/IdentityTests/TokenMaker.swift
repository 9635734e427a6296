#if Secure
  import Crypto
  import Events
  import Foundation
  import Serving

  @testable import Identity

  /// Makes tokens as an issuer would, and as a forger would: of any header, payload and signature.
  struct TokenMaker {
    static let now = Timestamp(rfc3339: "2026-03-01T12:00:00Z")!
    static let secret = Array("an HS256 secret of 32 bytes at l".utf8)

    let ec = P256.Signing.PrivateKey()
    let ed = Curve25519.Signing.PrivateKey()

    enum Signer { case es256, edDSA, hs256, none, with([UInt8]) }

    var keySet: JSONValue {
      let point = Array(ec.publicKey.rawRepresentation)
      return [
        "keys": .array([
          [
            "kty": .string("EC"), "crv": .string("P-256"), "kid": .string("ec"), "alg": .string("ES256"),
            "x": .string(Base64URL.encode(Array(point[..<32]))), "y": .string(Base64URL.encode(Array(point[32...]))),
          ],
          [
            "kty": .string("OKP"), "crv": .string("Ed25519"), "kid": .string("ed"),
            "x": .string(Base64URL.encode(Array(ed.publicKey.rawRepresentation))),
          ],
          ["kty": .string("oct"), "kid": .string("hs"), "k": .string(Base64URL.encode(TokenMaker.secret))],
        ])
      ]
    }

    /// The claims of a device's token that is good for an hour, with `changes` made to them; null takes a claim out.
    func claims(_ changes: JSONValue = [:]) -> JSONValue {
      var claims = JSONObject()
      claims["sub"] = .string("station/EWR")
      claims["aud"] = .string("penstock")
      claims["exp"] = .int(TokenMaker.now.nanoseconds / 1_000_000_000 + 3600)
      if case .object(let changes) = changes {
        for change in changes { claims[change.name] = change.value == .null ? nil : change.value }
      }
      return .object(claims)
    }

    func token(_ claims: JSONValue, header: JSONValue, _ signer: Signer) throws -> String {
      let signed = Base64URL.encode(Array(header.text.utf8)) + "." + Base64URL.encode(Array(claims.text.utf8))
      let bytes = Array(signed.utf8)
      let signature: [UInt8] =
        switch signer {
        case .es256: Array(try ec.signature(for: bytes).rawRepresentation)
        case .edDSA: Array(try ed.signature(for: bytes))
        case .hs256: Array(HMAC<SHA256>.authenticationCode(for: bytes, using: SymmetricKey(data: TokenMaker.secret)))
        case .with(let key): Array(HMAC<SHA256>.authenticationCode(for: bytes, using: SymmetricKey(data: key)))
        case .none: []
        }
      return signed + "." + Base64URL.encode(signature)
    }

    func token(_ changes: JSONValue = [:]) throws -> String {
      try token(claims(changes), header: ["alg": .string("ES256"), "kid": .string("ec")], .es256)
    }

    func access(
      rules: ClaimRules = ClaimRules(audience: "penstock", issuer: nil), tokens: String = "",
      now: @escaping @Sendable () -> Timestamp = { TokenMaker.now }
    ) throws -> TokenAccess {
      TokenAccess(
        rules: rules, keys: try KeySet(json: Array(keySet.text.utf8), isPublic: false), tokens: try StaticTokens(text: tokens),
        now: now)
    }
  }

  extension TokenAccess {
    /// Nil when the token is taken.
    func denial(_ token: String) -> AccessDenial? {
      do throws(AccessDenial) {
        _ = try authenticate(bearer: token[...])
        return nil
      } catch {
        return error
      }
    }
  }
#endif
