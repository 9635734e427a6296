#if Secure
  import Crypto
  import Events
  import Serving
  import Synchronization

  /// Bearer tokens: JWTs signed with a key of a set, and static ones.
  public final class TokenAccess: AccessControl {
    /// Tokens whose signature was found right, remembered so that a device's next request costs a hash and not a signature check.
    static let verifiedMax = 4096

    private struct State {
      var keys: KeySet
      var tokens: StaticTokens
      /// The claims of each token, by its SHA-256. Claims are judged anew each time.
      var verified: [[UInt8]: JSONObject] = [:]
      /// Rises with each change of keys: a signature checked against earlier keys is not remembered.
      var generation = 0
    }

    public let changes = AccessChanges()
    private let rules: ClaimRules
    private let now: @Sendable () -> Timestamp
    private let state: Mutex<State>
    private let unknownKey = AsyncStream<Void>.makeStream(bufferingPolicy: .bufferingNewest(1))

    public init(
      rules: ClaimRules, keys: KeySet, tokens: StaticTokens, now: @escaping @Sendable () -> Timestamp = { Timestamp.systemNow() }
    ) {
      self.rules = rules
      self.now = now
      state = Mutex(State(keys: keys, tokens: tokens))
    }

    deinit { unknownKey.continuation.finish() }

    public func replace(keys: KeySet) {
      state.withLock {
        $0.keys = keys
        $0.verified = [:]
        $0.generation += 1
      }
      changes.notify()
    }

    public func replace(tokens: StaticTokens) {
      state.withLock { $0.tokens = tokens }
      changes.notify()
    }

    /// Whether any JWT can be accepted at all.
    public var hasKeys: Bool { state.withLock { !$0.keys.isEmpty } }

    /// Yields when a token names a key that is not in the set: the set may have a newer version. One element stands for all such
    /// tokens until it is read; for one listener.
    public var unknownKeys: AsyncStream<Void> { unknownKey.stream }

    public func authenticate(bearer text: Substring) throws(AccessDenial) -> Caller {
      guard text.utf8.count <= JSONWebToken.bytesMax else {
        throw .invalid(reason: "longer than \(JSONWebToken.bytesMax) bytes")
      }
      let digest = Array(SHA256.hash(data: Array(text.utf8)))
      let (keys, tokens, verified, generation) = state.withLock { ($0.keys, $0.tokens, $0.verified[digest], $0.generation) }
      if let verified { return try rules.caller(verified, now: now()) }
      if let caller = tokens.caller(digest: digest) { return caller }
      let token = try JSONWebToken(text)
      guard keys.candidates(for: token).contains(where: { $0.verifies(token.signature, of: token.signed) }) else {
        if let id = token.keyID {
          guard keys.knows(keyID: id) else {
            unknownKey.continuation.yield()
            throw .invalid(reason: "no key of its 'kid' is known")
          }
        } else {
          unknownKey.continuation.yield()
        }
        throw .invalid(reason: "no key for its 'alg' made its signature")
      }
      let caller = try rules.caller(token.claims, now: now())
      state.withLock { state in
        guard state.generation == generation else { return }
        if state.verified.count >= TokenAccess.verifiedMax { state.verified.removeAll(keepingCapacity: true) }
        state.verified[digest] = token.claims
      }
      return caller
    }
  }
#endif
