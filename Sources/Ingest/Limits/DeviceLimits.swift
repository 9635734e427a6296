import Events
import Serving
import Synchronization

/// The meters of identified devices. Without tokens there are none: only this machine connects then.
final class DeviceLimits: Sendable {
  /// The most meters held. Meters of devices that have left and need not wait are removed first.
  private static let metersMax = 100_000

  private struct Entry {
    var meter: DeviceMeter
    /// Open WebSockets.
    var connections = 0
  }

  private let connectionsMax: Int
  private let eventsPerSecondMax: Int?
  private let entries = Mutex<[UTF8Text: Entry]>([:])

  /// - Parameters:
  ///   - connectionsMax: WebSockets of one device.
  ///   - eventsPerSecondMax: The rate of a device whose token states none; nil for no bound.
  init(connectionsMax: Int, eventsPerSecondMax: Int?) {
    self.connectionsMax = connectionsMax
    self.eventsPerSecondMax = eventsPerSecondMax
  }

  func meter(of caller: Caller, now: UInt64) -> DeviceMeter {
    entries.withLock { entries in entry(of: caller, now: now, &entries).meter }
  }

  /// - Returns: Nil when the device has as many connections as it may.
  func connect(_ caller: Caller, now: UInt64) -> DeviceMeter? {
    entries.withLock { entries in
      var entry = entry(of: caller, now: now, &entries)
      guard entry.connections < connectionsMax else { return nil }
      entry.connections += 1
      entries[caller.subject] = entry
      return entry.meter
    }
  }

  func disconnect(_ meter: DeviceMeter) {
    entries.withLock { $0[meter.subject]?.connections -= 1 }
  }

  private func entry(of caller: Caller, now: UInt64, _ entries: inout [UTF8Text: Entry]) -> Entry {
    let rate = caller.eventsPerSecondMax ?? eventsPerSecondMax
    if let known = entries[caller.subject] {
      // A new token may state another rate.
      guard known.meter.eventsPerSecondMax != rate else { return known }
      let renewed = Entry(meter: DeviceMeter(subject: caller.subject, eventsPerSecondMax: rate), connections: known.connections)
      entries[caller.subject] = renewed
      return renewed
    }
    if entries.count >= DeviceLimits.metersMax {
      entries = entries.filter { $0.value.connections > 0 || $0.value.meter.wait(now: now) > 0 }
    }
    let fresh = Entry(meter: DeviceMeter(subject: caller.subject, eventsPerSecondMax: rate))
    entries[caller.subject] = fresh
    return fresh
  }
}
