import Events
import PenstockClient

/// When the devices of a simulated fleet read, which times they give their readings, and when they can send them. The seed
/// decides all of it, each device by its number: neither the connections nor how fast the server is change an event.
///
/// Times are nanoseconds since the run's start; readings before it, below 0, are a device's backlog.
struct SimulatedHistory: Sendable, Hashable {
  /// A share of the devices, and a length of time, as `0.1=5m`.
  struct Share: Sendable, Hashable {
    /// Above 0, at most 1.
    var devices: Double
    /// In nanoseconds; below 0 only for clocks.
    var length: Int64
  }

  /// The time at which the run begins, for the events' times.
  var start: Timestamp
  /// Devices of the whole fleet: they read one after the other.
  var devices: Int
  /// Time between two readings of a device, above 0.
  var every: Int64
  /// The first time that is not read any more.
  var end: Int64
  /// The most that a device's first reading lies before the start.
  var backlog: Int64 = 0
  /// Devices that are silent for a while.
  var offline: Share?
  /// Devices whose clock is wrong; the shares add up to 1 at most.
  var clocks: [Share] = []
  /// The most that an event's time lies before its reading.
  var outOfOrder: Int64 = 0
  var seed: UInt64

  /// One device's part in it.
  struct Device: Sendable, Hashable {
    /// The time of its first reading.
    var first: Int64
    /// How much its clock is ahead.
    var clock: Int64
    /// The times at which it cannot send.
    var silence: Range<Int64>
  }

  private enum Purpose: UInt64 {
    case backlog = 1
    case clock, isOffline, silence, order
  }

  /// - Parameter number: A device's number in the fleet.
  func device(_ number: Int) -> Device {
    let phase = Int64(Double(every) * Double(number) / Double(devices))
    var random = generator(.backlog, number)
    let first = phase - (backlog > 0 ? Int64.random(in: 0...backlog, using: &random) : 0)
    return Device(first: first, clock: clock(number), silence: silence(number))
  }

  private func clock(_ number: Int) -> Int64 {
    var random = generator(.clock, number)
    var left = Double.random(in: 0..<1, using: &random)
    for share in clocks {
      if left < share.devices { return share.length }
      left -= share.devices
    }
    return 0
  }

  private func silence(_ number: Int) -> Range<Int64> {
    var random = generator(.isOffline, number)
    guard let offline, end > 0, Double.random(in: 0..<1, using: &random) < offline.devices else { return 0..<0 }
    var place = generator(.silence, number)
    let begin = Int64.random(in: 0..<end, using: &place)
    return begin..<begin + min(offline.length, end - begin)
  }

  /// The number of a device's readings.
  func count(of device: Device) -> Int { device.first < end ? Int((end - 1 - device.first) / every) + 1 : 0 }

  /// The time of a device's reading.
  func time(of reading: Int, _ device: Device) -> Int64 { device.first + Int64(reading) * every }

  /// The time at which a device can send a reading: below 0 at once.
  func due(_ reading: Int, of device: Device) -> Int64 {
    let time = time(of: reading, device)
    return device.silence.contains(time) ? device.silence.upperBound : time
  }

  /// The event's time, as the device's clock has it.
  func eventTime(of reading: Int, _ device: Device, number: Int) -> Timestamp {
    var time = time(of: reading, device) + device.clock
    if outOfOrder > 0 {
      var random = generator(.order, number, reading)
      time -= Int64.random(in: 0..<outOfOrder, using: &random)
    }
    let (sum, overflow) = start.nanoseconds.addingReportingOverflow(time)
    return Timestamp(nanoseconds: overflow ? (time < 0 ? .min : .max) : sum)
  }

  private func generator(_ purpose: Purpose, _ number: Int, _ reading: Int = 0) -> SeededGenerator {
    var mixed = SeededGenerator(seed: seed ^ purpose.rawValue << 56)
    mixed = SeededGenerator(seed: mixed.next() &+ UInt64(number))
    return SeededGenerator(seed: mixed.next() &+ UInt64(reading))
  }
}
