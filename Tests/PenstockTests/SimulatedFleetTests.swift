import Events
import Testing

@testable import Penstock
@testable import PenstockClient

@Suite("Simulated fleets")
struct SimulatedFleetTests {
  private struct Reading: Hashable {
    var source: String
    var time: Timestamp
    var sequence: Int64
    var text: String
  }

  private static let start = Timestamp(rfc3339: "2024-05-01T00:00:00Z")!
  private static let second: Int64 = 1_000_000_000

  private func history(devices: Int, every: Int64 = second, end: Int64 = 20 * second, seed: UInt64) -> SimulatedHistory {
    SimulatedHistory(start: SimulatedFleetTests.start, devices: devices, every: every, end: end, seed: seed)
  }

  /// All events of a fleet, in order, each with the time from which it may be sent.
  private func events(of fleet: SimulatedFleet) throws -> [(due: Int64, reading: Reading)] {
    var fleet = fleet, text: [UInt8] = [], result: [(due: Int64, reading: Reading)] = []
    let count = fleet.left
    while let due = fleet.write(1, { text = Array($0) }) {
      let json = try JSONValue(parsing: text)
      guard case .string(let source)? = json["source"], case .string(let time)? = json["time"],
        case .int(let sequence)? = json["sequence"], let time = Timestamp(rfc3339: time)
      else {
        Issue.record("no reading: \(json)")
        continue
      }
      let reading = Reading(source: source, time: time, sequence: sequence, text: String(decoding: text, as: UTF8.self))
      result.append((due, reading))
    }
    #expect(result.count == count && fleet.left == 0)
    return result
  }

  @Test("without options every device reads in turn, each at its time")
  func plain() throws {
    let fleet = SimulatedFleet(0..<4, history(devices: 4, end: 3 * SimulatedFleetTests.second, seed: 7), rate: 4, epoch: 9)
    let found = try events(of: fleet)
    #expect(found.map(\.reading.source) == (0..<12).map { "device/000000\($0 % 4)" })
    #expect(found.map(\.reading.sequence) == (0..<12).map { $0 / 4 + 1 })
    #expect(found.map(\.due) == (0..<12).map { $0 * 250_000_000 })
    #expect(found.map { $0.reading.time.nanoseconds - SimulatedFleetTests.start.nanoseconds } == found.map(\.due))
    #expect(found.allSatisfy { $0.reading.text.contains(#""epoch":9,"data":{"value":"#) })
  }

  @Test("the same seed gives each device the same events over any number of connections, at any rate", arguments: 0..<50)
  func connections(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let devices = Int.random(in: 1...40, using: &random)
    var history = history(devices: devices, seed: seed)
    if Bool.random(using: &random) { history.backlog = Int64.random(in: 1...100, using: &random) * SimulatedFleetTests.second }
    if Bool.random(using: &random) { history.offline = .init(devices: 0.5, length: 5 * SimulatedFleetTests.second) }
    if Bool.random(using: &random) { history.clocks = [.init(devices: 0.3, length: 1 << 60), .init(devices: 0.3, length: -(1 << 58))] }
    if Bool.random(using: &random) { history.outOfOrder = 3 * SimulatedFleetTests.second }
    func bySource(_ fleets: [SimulatedFleet]) throws -> [String: [Reading]] {
      Dictionary(grouping: try fleets.flatMap { try events(of: $0) }.map(\.reading), by: \.source)
    }
    let alone = try bySource([SimulatedFleet(0..<devices, history, rate: 100, epoch: 1)])
    let count = Int.random(in: 1...devices, using: &random)
    let shared = try bySource(
      (0..<count).map { SimulatedFleet(stride(from: $0, to: devices, by: count), history, rate: 7, epoch: 1) })
    #expect(alone == shared, "seed \(seed)")
    #expect(alone.count == devices)
    for (source, readings) in alone {
      #expect(readings.map(\.sequence) == Array(1...Int64(readings.count)), "seed \(seed), \(source)")
    }
    history.seed += 1
    #expect(try bySource([SimulatedFleet(0..<devices, history, rate: 100, epoch: 1)]) != alone)
  }

  @Test("backlogs begin at different places, take turns, and hold up nobody who reads now", arguments: 0..<10)
  func backlog(seed: UInt64) throws {
    let second = SimulatedFleetTests.second, devices = 10
    var history = history(devices: devices, seed: seed)
    history.backlog = 200 * second
    let found = try events(of: SimulatedFleet(0..<devices, history, rate: 50, epoch: 1))
    let firsts = (0..<devices).map { history.device($0).first }
    #expect(Set(firsts).count == devices && firsts.allSatisfy { (-200 * second..<second).contains($0) }, "seed \(seed)")
    let all = firsts.reduce(0) { $0 + Int((20 * second - 1 - $1) / second) + 1 }
    #expect(found.count == all)
    // The rate is kept.
    for (index, one) in found.enumerated() { #expect(one.due >= Int64(index) * second / 50 - 1) }
    var last: [String: Timestamp] = [:], backlogEnds: [String: Int64] = [:], live = 0
    for (due, reading) in found {
      let time = reading.time.nanoseconds - SimulatedFleetTests.start.nanoseconds
      #expect(due >= time, "nothing is sent before it is read")
      #expect(reading.time > last[reading.source] ?? Timestamp(nanoseconds: .min), "a device sends in order")
      last[reading.source] = reading.time
      if time < 0 { backlogEnds[reading.source] = due }
      // Fifty a second. All live readings are 200, which take 4 s; a reading waits for some of them, and for no backlog but its
      // own: all backlogs take far longer.
      if time >= backlogEnds[reading.source] ?? 0 {
        live += 1
        #expect(due < time + 5 * second, "seed \(seed)")
      }
    }
    #expect(live > 0, "seed \(seed)")
    let beginning = found.prefix(devices).map(\.reading.source)
    #expect(Set(beginning).count > devices / 2, "all begin at once: \(beginning)")
  }

  @Test("devices that are offline are silent, then send all that they read", arguments: 0..<10)
  func offline(seed: UInt64) throws {
    let second = SimulatedFleetTests.second, devices = 200
    var history = history(devices: devices, end: 60 * second, seed: seed)
    history.offline = .init(devices: 0.25, length: 10 * second)
    let found = try events(of: SimulatedFleet(0..<devices, history, rate: 100_000, epoch: 1))
    #expect(found.count == devices * 60)
    var silent = 0
    for number in 0..<devices {
      let device = history.device(number)
      guard !device.silence.isEmpty else { continue }
      silent += 1
      #expect(device.silence.upperBound <= 60 * second)
      let own = found.filter { $0.reading.source.hasSuffix(String(1_000_000 + number).dropFirst()) && $0.reading.source.utf8.count == 14 }
      #expect(own.allSatisfy { !device.silence.contains($0.due) }, "seed \(seed), device \(number)")
      #expect(own.map(\.reading.sequence) == Array(1...60))
    }
    #expect((20...85).contains(silent), "seed \(seed): \(silent) of \(devices)")
  }

  @Test("clocks are wrong by what was asked, and times out of order by no more", arguments: 0..<10)
  func clocks(seed: UInt64) throws {
    let second = SimulatedFleetTests.second, devices = 300
    var history = history(devices: devices, end: 5 * second, seed: seed)
    history.clocks = [.init(devices: 0.2, length: 1_000_000 * second), .init(devices: 0.3, length: -3600 * second)]
    history.outOfOrder = 4 * second
    var clocks: [Int64: Int] = [:], backwards = 0
    for number in 0..<devices {
      let device = history.device(number)
      clocks[device.clock, default: 0] += 1
      var last = Int64.min
      for reading in 0..<history.count(of: device) {
        let time = history.eventTime(of: reading, device, number: number).nanoseconds
        let behind = history.time(of: reading, device) + device.clock + SimulatedFleetTests.start.nanoseconds - time
        #expect((0..<4 * second).contains(behind), "seed \(seed)")
        if time < last { backwards += 1 }
        last = time
      }
    }
    #expect(Set(clocks.keys) == [0, 1_000_000 * second, -3600 * second])
    #expect((30...90).contains(clocks[1_000_000 * second] ?? 0) && (55...125).contains(clocks[-3600 * second] ?? 0))
    #expect(backwards > 100, "seed \(seed)")
  }

  @Test("a device that waits has one event in a message, which names its last", arguments: 0..<50)
  func waiting(seed: UInt64) throws {
    var random = SeededGenerator(seed: seed)
    let devices = Int.random(in: 1...6, using: &random)
    var history = history(devices: devices, seed: seed)
    if Bool.random(using: &random) { history.backlog = 30 * SimulatedFleetTests.second }
    var fleet = SimulatedFleet(0..<devices, history, rate: 1000, epoch: 1, waits: true)
    let all = fleet.left
    // The number of each source's last event among those of the fleet.
    var made = 0, last: [ArraySlice<UInt8>: Int] = [:]
    while let message = fleet.message(10) {
      var answeredBefore = 0
      for mark in message.events.marks {
        made += 1
        let source = message.events.source(of: mark)
        answeredBefore = max(answeredBefore, last[source] ?? 0)
        last[ArraySlice(Array(source))] = made
      }
      #expect(message.answeredBefore == answeredBefore, "seed \(seed)")
      #expect(answeredBefore <= made - message.events.eventCount, "seed \(seed): it would wait for itself")
    }
    #expect(made == all && last.count == devices)
  }

  @Test("the schedule gives readings that are due, then backlogs in turn, then what is due first", arguments: 0..<200)
  func schedule(seed: UInt64) {
    var random = SeededGenerator(seed: seed)
    var schedule = SimulatedSchedule(), live: [SimulatedSchedule.Entry] = [], turns: [SimulatedSchedule.Entry] = []
    for device in 0..<Int.random(in: 0...20, using: &random) {
      let due = Int64.random(in: -5...5, using: &random)
      schedule.add(device, due: due)
      if due < 0 { turns.append(.init(due: due, device: device)) } else { live.append(.init(due: due, device: device)) }
    }
    for _ in 0..<100 {
      let now = Int64.random(in: 0...20, using: &random)
      live.sort()
      let isLive = live.first.map { $0.due <= now } ?? false || turns.isEmpty
      let expected = isLive ? live.first : turns.first
      let found = schedule.first(at: now)
      #expect(found == expected, "seed \(seed)")
      guard let found else { return }
      schedule.remove(found)
      if isLive { live.removeFirst() } else { turns.removeFirst() }
      guard Int.random(in: 0..<10, using: &random) > 0 else { continue }
      let due = found.due < 0 ? found.due + 1 : found.due + Int64.random(in: 0...9, using: &random)
      schedule.add(found.device, due: due)
      if due < 0 { turns.append(.init(due: due, device: found.device)) } else { live.append(.init(due: due, device: found.device)) }
    }
  }
}
