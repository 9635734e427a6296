import Events
import Synchronization

/// Tells those who were let in for longer than one request that tokens or keys are others now: each asks again whether it may go on.
public final class AccessChanges: Sendable {
  private let observers = Mutex<(next: Int, all: [Int: @Sendable () -> Void])>((0, [:]))

  public init() {}

  /// - Parameter changed: Called with each change, on whatever thread makes it, until the observation is let go; is quick.
  public func observe(_ changed: @escaping @Sendable () -> Void) -> AccessObservation {
    let number = observers.withLock { observers in
      observers.next += 1
      observers.all[observers.next] = changed
      return observers.next
    }
    return AccessObservation { [weak self] in self?.observers.withLock { $0.all[number] = nil } }
  }

  public func notify() {
    for changed in observers.withLock({ Array($0.all.values) }) { changed() }
  }
}

/// Lasts until it is let go.
public final class AccessObservation: Sendable {
  private let end: @Sendable () -> Void

  fileprivate init(_ end: @escaping @Sendable () -> Void) { self.end = end }

  deinit { end() }
}

/// What was let in once and goes on: a stream, a long answer.
public struct StandingAccess: Sendable {
  private let gate: AccessGate
  private let authorization: [String]
  private let scope: AccessScope
  /// From when on it may not go on; nil while its token stays good.
  public let expiry: Timestamp?

  /// - Parameters:
  ///   - gate: Let the caller in.
  ///   - caller: Nil where nobody is asked.
  ///   - authorization: The values of the request's `Authorization` headers.
  ///   - scope: That the request needs.
  /// - Returns: Nil where there is nothing to ask again.
  public init?(_ gate: AccessGate, _ caller: Caller?, authorization: [String], scope: AccessScope) {
    guard let caller else { return nil }
    self.gate = gate
    self.authorization = authorization
    self.scope = scope
    expiry = caller.expiry
  }

  /// Why it may not go on; nil if it may.
  public var denial: AccessDenial? {
    do throws(AccessDenial) {
      _ = try gate.admit(authorization: authorization, for: scope)
      return nil
    } catch {
      return error
    }
  }

  /// As `AccessChanges.observe`.
  public func observe(_ changed: @escaping @Sendable () -> Void) -> AccessObservation? { gate.observe(changed) }
}
