import Synchronization

/// What ingest has counted since it started: received = appended + duplicates + rejected, once nothing is in flight.
public struct ReceivedEvents: Sendable, Hashable {
  public var received: Int
  public var appended: Int
  public var duplicates: Int
  public var rejected: Int
  /// Of the duplicates, those that may be none.
  public var suspects: Int

  public init(received: Int, appended: Int, duplicates: Int, rejected: Int, suspects: Int = 0) {
    self.received = received
    self.appended = appended
    self.duplicates = duplicates
    self.rejected = rejected
    self.suspects = suspects
  }

  /// Received and not answered for yet; below zero only when something was answered for twice.
  public var inFlight: Int { received - appended - duplicates - rejected }
}

/// Counts what a process's ingest receives, for all who want to know.
public final class ReceivedEventsCount: Sendable {
  private let receivedEvents = Atomic<Int>(0)
  private let appendedEvents = Atomic<Int>(0)
  private let duplicateEvents = Atomic<Int>(0)
  private let rejectedEvents = Atomic<Int>(0)
  private let suspectEvents = Atomic<Int>(0)

  public init() {}

  public func received(_ count: Int) { receivedEvents.wrappingAdd(count, ordering: .relaxed) }

  // What is answered for has been counted as received before: whoever sees the one sees the other.

  public func rejected(_ count: Int) { rejectedEvents.wrappingAdd(count, ordering: .releasing) }

  /// - Parameters:
  ///   - appended: New in the log.
  ///   - duplicates: In the log already.
  ///   - suspects: Of these, those that may be none.
  public func synced(appended: Int, duplicates: Int, suspects: Int = 0) {
    suspectEvents.wrappingAdd(suspects, ordering: .relaxed)
    appendedEvents.wrappingAdd(appended, ordering: .releasing)
    duplicateEvents.wrappingAdd(duplicates, ordering: .releasing)
  }

  /// What was answered for is read first: it was received before.
  public var current: ReceivedEvents {
    let (appended, duplicates) = (appendedEvents.load(ordering: .acquiring), duplicateEvents.load(ordering: .acquiring))
    let rejected = rejectedEvents.load(ordering: .acquiring)
    return ReceivedEvents(
      received: receivedEvents.load(ordering: .relaxed), appended: appended, duplicates: duplicates, rejected: rejected,
      suspects: min(duplicates, suspectEvents.load(ordering: .relaxed)))
  }
}
