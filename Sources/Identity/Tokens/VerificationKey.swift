#if Secure
  import Crypto
  import Events
  import Foundation

  /// A key and its one algorithm. The token's `alg` has to name that algorithm, so none can be swapped for another, and no key's
  /// algorithm is `none`.
  struct VerificationKey: Sendable {
    enum Material: Sendable {
      case es256(P256.Signing.PublicKey)
      case edDSA(Curve25519.Signing.PublicKey)
      case hs256(SymmetricKey)
    }

    /// RFC 7518, section 3.2: no shorter than the hash.
    static let secretBytesMin = 32

    var id: UTF8Text?
    var material: Material

    var algorithm: String {
      switch material {
      case .es256: "ES256"
      case .edDSA: "EdDSA"
      case .hs256: "HS256"
      }
    }

    func verifies(_ signature: [UInt8], of signed: [UInt8]) -> Bool {
      switch material {
      case .es256(let key):
        guard let signature = try? P256.Signing.ECDSASignature(rawRepresentation: signature) else { return false }
        return key.isValidSignature(signature, for: signed)
      case .edDSA(let key): return key.isValidSignature(signature, for: signed)
      // In constant time.
      case .hs256(let key): return HMAC<SHA256>.isValidAuthenticationCode(signature, authenticating: signed, using: key)
      }
    }
  }
#endif
