#if Secure
  import Crypto
  import Events
  import Foundation

  /// The reason why a file of keys or tokens cannot be used. It holds nothing of their content.
  public struct KeyFileError: Error, Sendable, Hashable, CustomStringConvertible {
    public var description: String

    public init(_ description: String) { self.description = description }
  }

  /// A JSON Web Key Set (RFC 7517).
  public struct KeySet: Sendable {
    public static let bytesMax = 1 << 20
    static let keysMax = 256
    /// The most signatures checked for a token that names no key.
    static let triesMax = 8

    var keys: [VerificationKey] = []
    /// The keys left out, and why: malformed, or of kinds or for uses that are not taken here. The other keys serve.
    public private(set) var notices: [String] = []

    public var isEmpty: Bool { keys.isEmpty }

    public init() {}

    /// - Parameters:
    ///   - json: A JSON Web Key Set, RFC 7517.
    ///   - isPublic: Others can read the set, as at a URL: a secret in it is then not secret, and is left out.
    public init(json: [UInt8], isPublic: Bool) throws(KeyFileError) {
      let set: JSONValue
      do { set = try JSONValue(parsing: json) } catch { throw KeyFileError("not JSON: \(error)") }
      guard case .array(let members)? = set["keys"] else { throw KeyFileError("no JSON Web Key Set: it has no array 'keys'") }
      guard members.count <= KeySet.keysMax else { throw KeyFileError("more than \(KeySet.keysMax) keys") }
      for (index, member) in members.enumerated() {
        let name = KeySet.text(member["kid"]).map { "key '\($0.prefix(64))'" } ?? "key \(index)"
        do throws(Unusable) {
          keys.append(try KeySet.key(member, isPublic: isPublic))
        } catch {
          notices.append("\(name) is left out: \(error.reason)")
        }
      }
    }

    /// The shared secret of HS256.
    public mutating func add(secret: [UInt8]) throws(KeyFileError) {
      guard secret.count >= VerificationKey.secretBytesMin else {
        throw KeyFileError("an HS256 secret has \(VerificationKey.secretBytesMin) bytes at least")
      }
      keys.append(VerificationKey(id: nil, material: .hs256(SymmetricKey(data: secret))))
    }

    /// The reason why one key does not serve.
    private struct Unusable: Error {
      var reason: String

      init(_ reason: String) { self.reason = reason }
    }

    private static func key(_ key: JSONValue, isPublic: Bool) throws(Unusable) -> VerificationKey {
      if let use = text(key["use"]), use != "sig" { throw Unusable("its use is not 'sig'") }
      let made = VerificationKey(id: text(key["kid"]).map { UTF8Text($0) }, material: try material(key, isPublic: isPublic))
      if let algorithm = text(key["alg"]), algorithm != made.algorithm { throw Unusable("its 'alg' is not \(made.algorithm)") }
      return made
    }

    private static func material(_ key: JSONValue, isPublic: Bool) throws(Unusable) -> VerificationKey.Material {
      switch (text(key["kty"]), text(key["crv"])) {
      case ("EC", "P-256"):
        guard let x = bytes(key["x"]), let y = bytes(key["y"]), x.count == 32, y.count == 32,
          let point = try? P256.Signing.PublicKey(x963Representation: [4] + x + y)
        else { throw Unusable("it is no point of P-256") }
        return .es256(point)
      case ("OKP", "Ed25519"):
        guard let x = bytes(key["x"]), let point = try? Curve25519.Signing.PublicKey(rawRepresentation: x) else {
          throw Unusable("it is no Ed25519 public key")
        }
        return .edDSA(point)
      case ("oct", _):
        guard !isPublic else { throw Unusable("it is a secret, and a set at a URL may hold public keys only") }
        guard let secret = bytes(key["k"]), secret.count >= VerificationKey.secretBytesMin else {
          throw Unusable("it is no secret of \(VerificationKey.secretBytesMin) bytes at least")
        }
        return .hs256(SymmetricKey(data: secret))
      default: throw Unusable("it is neither for ES256, EdDSA (Ed25519) nor HS256")
      }
    }

    private static func text(_ value: JSONValue?) -> String? {
      if case .string(let text)? = value { text } else { nil }
    }

    private static func bytes(_ value: JSONValue?) -> [UInt8]? { text(value).flatMap { Base64URL.decode($0) } }

    /// The keys that may have signed the token: those for its algorithm, and with its `kid` where it names one.
    func candidates(for token: JSONWebToken) -> [VerificationKey] {
      let fitting = keys.filter {
        $0.algorithm == token.algorithm && (token.keyID == nil || $0.id == nil || $0.id == token.keyID)
      }
      return Array(fitting.prefix(KeySet.triesMax))
    }

    func knows(keyID: UTF8Text) -> Bool { keys.contains { $0.id == keyID } }
  }
#endif
