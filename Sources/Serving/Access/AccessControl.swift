import Events

/// Identifies the holder of a bearer token. Ingest and Query know only this; module Identity implements it.
public protocol AccessControl: Sendable {
  /// - Returns: The token's holder.
  /// - Throws: `AccessDenial.invalid` or `.expired`.
  /// - Complexity: At most one signature check for each key that may have made it, some 100 µs each. Never waits: event loops may
  ///   call it.
  func authenticate(bearer token: Substring) throws(AccessDenial) -> Caller
  /// Notifies of changed tokens or keys.
  var changes: AccessChanges { get }
}

public enum AccessScope: String, Sendable, CaseIterable {
  /// Writing events.
  case ingest
  /// Reading results, events and metrics.
  case query
  /// Replays, promotion, roll-back, changes of views; includes `query`.
  case admin
}

/// The holder of a token.
public struct Caller: Sendable, Hashable {
  /// The longest subject, in bytes.
  public static let subjectBytesMax = 256

  /// The token's name for its holder: for logs and for counting by device. It is no secret.
  public var subject: UTF8Text
  public var scopes: Set<AccessScope>
  public var sources: SourcePermission
  /// The time from which on the token is invalid; nil never.
  public var expiry: Timestamp?
  /// The events a second that its holder may send, where that differs from the service's own limit.
  public var eventsPerSecondMax: Int?

  public init(
    subject: String, scopes: Set<AccessScope>, sources: SourcePermission, expiry: Timestamp? = nil,
    eventsPerSecondMax: Int? = nil
  ) {
    self.subject = UTF8Text(subject)
    self.scopes = scopes
    self.sources = sources
    self.expiry = expiry
    self.eventsPerSecondMax = eventsPerSecondMax
  }

  public func may(_ scope: AccessScope) -> Bool {
    scopes.contains(scope) || (scope == .query && scopes.contains(.admin))
  }
}

/// The one check at a service's edge.
public struct AccessGate: Sendable {
  /// Permits everything to everybody: for listeners that only this machine reaches.
  public static let open = AccessGate(nil)

  private let access: (any AccessControl)?

  public init(_ access: (any AccessControl)?) { self.access = access }

  public var isOpen: Bool { access == nil }

  /// Observes as `AccessChanges.observe` does; nil where the gate is open, and nothing changes.
  public func observe(_ changed: @escaping @Sendable () -> Void) -> AccessObservation? { access?.changes.observe(changed) }

  /// - Parameters:
  ///   - authorization: The values of the request's `Authorization` headers.
  ///   - scope: The scope that the token has to permit.
  /// - Returns: Nil where the gate is open.
  public func admit(authorization: [String], for scope: AccessScope) throws(AccessDenial) -> Caller? {
    guard let access else { return nil }
    guard let credentials = authorization.first else { throw .missing }
    let parts = credentials.split(separator: " ", maxSplits: 1)
    guard authorization.count == 1, parts.count == 2, parts[0].lowercased() == "bearer" else { throw .malformed }
    let caller = try access.authenticate(bearer: parts[1])
    guard caller.may(scope) else { throw .insufficient(needed: scope) }
    return caller
  }
}

/// The reason why a request is not served. No case carries any part of a token.
public enum AccessDenial: Error, Sendable, Hashable {
  case missing
  /// An `Authorization` that is no bearer token.
  case malformed
  case invalid(reason: String)
  case expired
  case insufficient(needed: AccessScope)

  /// The problem of RFC 6750, section 3.
  public var problem: HTTPProblem {
    switch self {
    case .missing:
      HTTPProblem(
        status: 401, code: "token_missing", detail: "send 'Authorization: Bearer TOKEN'",
        headers: ["WWW-Authenticate": #"Bearer realm="penstock""#])
    case .malformed:
      challenge("invalid_request", status: 401, code: "token_malformed", "expected one 'Authorization: Bearer TOKEN'")
    case .invalid(let reason): challenge("invalid_token", status: 401, code: "token_invalid", "the token is refused: \(reason)")
    case .expired: challenge("invalid_token", status: 401, code: "token_expired", "the token has expired: get a new one")
    case .insufficient(let scope):
      challenge("insufficient_scope", status: 403, code: "scope_missing", "the token lacks the scope '\(scope.rawValue)'", scope)
    }
  }

  private func challenge(
    _ error: String, status: Int, code: String, _ detail: String, _ scope: AccessScope? = nil
  ) -> HTTPProblem {
    let needed = scope.map { #", scope="\#($0.rawValue)""# } ?? ""
    return HTTPProblem(
      status: status, code: code, detail: detail,
      headers: ["WWW-Authenticate": #"Bearer realm="penstock", error="\#(error)"\#(needed)"#])
  }
}
