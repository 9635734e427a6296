import Events
import PenstockClient

/// Simulated devices: each is a source, whose readings wander about a mean of its own. The same seed gives the same readings;
/// their times are the clock's.
struct SimulatedFleet {
  private struct Device {
    let source: [UInt8]
    let site: Int
    /// The mean in hundredths.
    let mean: Int
    var value: Int
    var sequence: UInt64 = 0
    var random: SeededGenerator
  }

  private static let sites = ["ams-1", "ams-2", "fra-1", "fra-2", "lhr-1", "sin-1", "sjc-1"]

  private let epoch: UInt64
  private var devices: [Device]
  private var next = 0
  private var text: [UInt8] = []

  /// - Parameters:
  ///   - numbers: The devices' numbers, at least one.
  ///   - epoch: The epoch of all events: a later one begins every device's sequence anew.
  init(_ numbers: some Sequence<Int>, seed: UInt64, epoch: UInt64) {
    self.epoch = epoch
    devices = numbers.map { number in
      var random = SeededGenerator(seed: seed &+ UInt64(number) &* 0x9E37_79B9_7F4A_7C15)
      let mean = Int.random(in: 500...3500, using: &random)
      let digits = String(number)
      let name = "device/" + String(repeating: "0", count: max(0, 7 - digits.count)) + digits
      return Device(
        source: Array(name.utf8), site: Int.random(in: 0..<SimulatedFleet.sites.count, using: &random), mean: mean, value: mean,
        random: random)
    }
    precondition(!devices.isEmpty, "a fleet has a device")
  }

  /// The next readings of the devices, in turn.
  mutating func message(_ count: Int, at time: Timestamp) -> DeviceMessage {
    let time = Array(time.description.utf8)
    var message = DeviceMessage()
    for _ in 0..<count {
      writeReading(next, time)
      text.withUnsafeBytes { message.append($0, line: 0) }
      next = (next + 1) % devices.count
    }
    return message
  }

  private mutating func writeReading(_ index: Int, _ time: [UInt8]) {
    let step = Int.random(in: -20...20, using: &devices[index].random)
    devices[index].value += step + (devices[index].mean - devices[index].value) / 16
    devices[index].sequence += 1
    let device = devices[index]
    text.removeAll(keepingCapacity: true)
    func write(_ part: StaticString) {
      text.append(contentsOf: UnsafeBufferPointer(start: part.utf8Start, count: part.utf8CodeUnitCount))
    }
    write(#"{"specversion":"1.0","source":""#)
    text += device.source
    write(#"","type":"reading","time":""#)
    text += time
    write(#"","sequence":"#)
    text += String(device.sequence).utf8
    write(#","epoch":"#)
    text += String(epoch).utf8
    write(#","data":{"value":"#)
    let hundredths = device.value.magnitude
    if device.value < 0 { text.append(0x2D) }
    text += String(hundredths / 100).utf8
    text.append(0x2E)
    text.append(0x30 + UInt8(hundredths / 10 % 10))
    text.append(0x30 + UInt8(hundredths % 10))
    write(#","site":""#)
    text += SimulatedFleet.sites[device.site].utf8
    write(#""}}"#)
  }
}
