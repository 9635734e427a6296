import Events
import PenstockClient

/// Simulated devices: each is a source, whose readings wander about a mean of its own. The same seed and history give the same
/// events, in the same order.
struct SimulatedFleet {
  private struct Device {
    let history: SimulatedHistory.Device
    let number: Int32
    let site: UInt8
    /// The mean in hundredths.
    let mean: Int32
    var value: Int32
    /// The reading that comes next.
    var reading = 0
    /// The number of its last event among those of the fleet, from 1; 0 before its first.
    var lastEvent = 0
    var random: SeededGenerator
  }

  private static let sites = ["ams-1", "ams-2", "fra-1", "fra-2", "lhr-1", "sin-1", "sjc-1"]
  /// An event waits so long for others of its message, in nanoseconds.
  private static let messageInterval = 1e8

  private let history: SimulatedHistory
  private let epoch: UInt64
  private let waits: Bool
  /// The time that one event takes of those that a connection may send, in nanoseconds.
  private let spacing: Double
  private var devices: [Device]
  private var schedule: SimulatedSchedule
  /// The time from which the next event may be sent.
  private var free = 0.0
  private var text: [UInt8] = []
  private var second = (number: Int64.min, text: [UInt8]())

  /// Events made.
  private var made = 0
  /// Events not yet made.
  private(set) var left: Int

  /// - Parameters:
  ///   - numbers: The devices' numbers.
  ///   - history: When they read and send.
  ///   - rate: The most events a second that the fleet sends, above 0.
  ///   - epoch: The epoch of all events: a later one begins every device's sequence anew.
  ///   - waits: Whether a device sends an event only when its last is answered for.
  init(_ numbers: some Sequence<Int>, _ history: SimulatedHistory, rate: Double, epoch: UInt64, waits: Bool = false) {
    self.history = history
    self.epoch = epoch
    self.waits = waits
    spacing = 1e9 / rate
    devices = numbers.map { number in
      var random = SeededGenerator(seed: history.seed &+ UInt64(number) &* 0x9E37_79B9_7F4A_7C15)
      let mean = Int32.random(in: 500...3500, using: &random)
      return Device(
        history: history.device(number), number: Int32(number),
        site: UInt8(Int.random(in: 0..<SimulatedFleet.sites.count, using: &random)), mean: mean, value: mean, random: random)
    }
    left = devices.reduce(0) { $0 + history.count(of: $1.history) }
    schedule = SimulatedSchedule()
    for (index, device) in devices.enumerated() where history.count(of: device.history) > 0 {
      schedule.add(index, due: history.due(0, of: device.history))
    }
  }

  /// The next events, of the devices that share a message.
  struct Message {
    var events = DeviceMessage()
    /// The time since the run's start from which they may be sent.
    var due = Duration.zero
    /// So many of the fleet's events are to be answered for before; 0 where the devices do not wait.
    var answeredBefore = 0
  }

  /// - Parameter count: The most events, at least 1.
  /// - Returns: Nil at the end.
  mutating func message(_ count: Int) -> Message? {
    var message = Message()
    let due = write(count, answeredBefore: &message.answeredBefore) { message.events.append($0, line: 0) }
    guard let due else { return nil }
    message.due = .nanoseconds(due)
    return message
  }

  /// Makes the next events.
  /// - Parameters:
  ///   - count: The most events, at least 1.
  ///   - body: Gets each event's JSON.
  /// - Returns: The time from which they may be sent, in nanoseconds; nil at the end.
  mutating func write(_ count: Int, _ body: (UnsafeRawBufferPointer) -> Void) -> Int64? {
    var answered = 0
    return write(count, answeredBefore: &answered, body)
  }

  private mutating func write(_ count: Int, answeredBefore: inout Int, _ body: (UnsafeRawBufferPointer) -> Void) -> Int64? {
    var begin: Double?
    let madeBefore = made
    for _ in 0..<count {
      guard let next = schedule.first(at: Int64(free)) else { break }
      let time = max(free, Double(next.due))
      if let begin, time > begin + SimulatedFleet.messageInterval { break }
      if waits {
        // Not two events of a device that waits in one message.
        guard devices[next.device].lastEvent <= madeBefore else { break }
        answeredBefore = max(answeredBefore, devices[next.device].lastEvent)
      }
      begin = begin ?? time
      schedule.remove(next)
      free = time + spacing
      writeReading(next.device)
      text.withUnsafeBytes(body)
      goOn(next.device)
    }
    return begin == nil ? nil : Int64(free - spacing)
  }

  private mutating func goOn(_ index: Int) {
    made += 1
    devices[index].reading += 1
    devices[index].lastEvent = made
    left -= 1
    let device = devices[index]
    guard history.time(of: device.reading, device.history) < history.end else { return }
    schedule.add(index, due: history.due(device.reading, of: device.history))
  }

  private mutating func writeReading(_ index: Int) {
    let step = Int32.random(in: -20...20, using: &devices[index].random)
    devices[index].value += step + (devices[index].mean - devices[index].value) / 16
    let device = devices[index]
    text.removeAll(keepingCapacity: true)
    write(#"{"specversion":"1.0","source":"device/"#)
    write(Int64(device.number), digits: 7)
    write(#"","type":"reading","time":""#)
    write(history.eventTime(of: device.reading, device.history, number: Int(device.number)))
    write(#"","sequence":"#)
    text += String(device.reading + 1).utf8
    write(#","epoch":"#)
    text += String(epoch).utf8
    write(#","data":{"value":"#)
    let hundredths = Int64(device.value.magnitude)
    if device.value < 0 { text.append(0x2D) }
    text += String(hundredths / 100).utf8
    text.append(0x2E)
    write(hundredths % 100, digits: 2)
    write(#","site":""#)
    text += SimulatedFleet.sites[Int(device.site)].utf8
    write(#""}}"#)
  }

  private mutating func write(_ part: StaticString) {
    text.append(contentsOf: UnsafeBufferPointer(start: part.utf8Start, count: part.utf8CodeUnitCount))
  }

  /// Writes a number below 10 to the power of `digits`.
  private mutating func write(_ number: Int64, digits: Int) {
    var unit = (1..<digits).reduce(Int64(1)) { unit, _ in unit * 10 }
    while unit > 0 {
      text.append(0x30 + UInt8(number / unit % 10))
      unit /= 10
    }
  }

  /// Writes a time, cut to milliseconds.
  private mutating func write(_ time: Timestamp) {
    let (seconds, nanoseconds) = time.nanoseconds.flooredQuotientAndRemainder(by: 1_000_000_000)
    if seconds != second.number {
      let whole = Timestamp(nanoseconds: time.nanoseconds - nanoseconds).description
      second = (seconds, Array(whole.utf8.dropLast()))
    }
    text += second.text
    text.append(0x2E)
    write(nanoseconds / 1_000_000, digits: 3)
    text.append(0x5A)
  }
}
