import Events
import Synchronization

/// Notifies holders of standing access that tokens or keys have changed: each checks again whether it may go on.
public final class AccessChanges: Sendable {
  private let observers = Mutex<(next: Int, all: [Int: @Sendable () -> Void])>((0, [:]))

  public init() {}

  /// - Parameter changed: Called with each change, on the changing thread, until the observation is released; must be quick.
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

/// Lasts until it is released.
public final class AccessObservation: Sendable {
  private let end: @Sendable () -> Void

  fileprivate init(_ end: @escaping @Sendable () -> Void) { self.end = end }

  deinit { end() }
}

/// The access of a request that was admitted once and goes on: a stream, a long answer.
public struct StandingAccess: Sendable {
  private let gate: AccessGate
  private let authorization: [String]
  private let scope: AccessScope
  /// The time from which on it may not go on; nil while its token stays valid.
  public let expiry: Timestamp?

  /// - Parameters:
  ///   - gate: The gate that admitted the caller.
  ///   - caller: Nil where access is open.
  ///   - authorization: The values of the request's `Authorization` headers.
  ///   - scope: The scope that the request needs.
  /// - Returns: Nil where there is nothing to check again.
  public init?(_ gate: AccessGate, _ caller: Caller?, authorization: [String], scope: AccessScope) {
    guard let caller else { return nil }
    self.gate = gate
    self.authorization = authorization
    self.scope = scope
    expiry = caller.expiry
  }

  /// The reason why it may not go on; nil if it may.
  public var denial: AccessDenial? {
    do throws(AccessDenial) {
      _ = try gate.admit(authorization: authorization, for: scope)
      return nil
    } catch {
      return error
    }
  }

  public func observe(_ changed: @escaping @Sendable () -> Void) -> AccessObservation? { gate.observe(changed) }
}
