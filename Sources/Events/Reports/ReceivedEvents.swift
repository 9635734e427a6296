import Synchronization

/// The counts of ingest since it started: received = appended + duplicates + rejected, once nothing is in flight.
public struct ReceivedEvents: Sendable, Hashable {
  public var received: Int
  public var appended: Int
  public var duplicates: Int
  public var rejected: Int
  /// The part of the duplicates that is suspect.
  public var suspects: Int
  /// The part of the appended events whose time was ahead of the clock.
  public var ahead: Int

  public init(received: Int, appended: Int, duplicates: Int, rejected: Int, suspects: Int = 0, ahead: Int = 0) {
    self.received = received
    self.appended = appended
    self.duplicates = duplicates
    self.rejected = rejected
    self.suspects = suspects
    self.ahead = ahead
  }

  /// Events received and not answered for yet; below zero only when something was answered for twice.
  public var inFlight: Int { received - appended - duplicates - rejected }
}

/// Counts the events that a process's ingest receives.
public final class ReceivedEventsCount: Sendable {
  private let receivedEvents = Atomic<Int>(0)
  private let appendedEvents = Atomic<Int>(0)
  private let duplicateEvents = Atomic<Int>(0)
  private let rejectedEvents = Atomic<Int>(0)
  private let suspectEvents = Atomic<Int>(0)
  private let aheadEvents = Atomic<Int>(0)

  public init() {}

  public func received(_ count: Int) { receivedEvents.wrappingAdd(count, ordering: .relaxed) }

  // An event that is answered for has been counted as received before, so a reader that sees the one sees the other.

  public func rejected(_ count: Int) { rejectedEvents.wrappingAdd(count, ordering: .releasing) }

  /// - Parameters:
  ///   - appended: Events that are new in the log.
  ///   - duplicates: Events that the log had already.
  ///   - suspects: The part of the duplicates that is suspect.
  ///   - ahead: The part of the appended events whose time was ahead of the clock.
  public func synced(appended: Int, duplicates: Int, suspects: Int = 0, ahead: Int = 0) {
    suspectEvents.wrappingAdd(suspects, ordering: .relaxed)
    aheadEvents.wrappingAdd(ahead, ordering: .relaxed)
    appendedEvents.wrappingAdd(appended, ordering: .releasing)
    duplicateEvents.wrappingAdd(duplicates, ordering: .releasing)
  }

  /// Answered events are read first: they were received before.
  public var current: ReceivedEvents {
    let (appended, duplicates) = (appendedEvents.load(ordering: .acquiring), duplicateEvents.load(ordering: .acquiring))
    let rejected = rejectedEvents.load(ordering: .acquiring)
    return ReceivedEvents(
      received: receivedEvents.load(ordering: .relaxed), appended: appended, duplicates: duplicates, rejected: rejected,
      suspects: min(duplicates, suspectEvents.load(ordering: .relaxed)),
      ahead: min(appended, aheadEvents.load(ordering: .relaxed)))
  }
}
