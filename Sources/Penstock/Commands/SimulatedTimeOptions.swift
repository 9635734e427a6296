import ArgumentParser
import Events

/// The options that say what is wrong with the time of simulated devices.
struct SimulatedTimeOptions: ParsableArguments {
  /// No device is further away from its time: a hundred years.
  static let lengthMax = Duration.seconds(36_500 * 86_400)

  @Option(
    help: ArgumentHelp(
      "Time between two readings of a device (default: as --rate has it). With it, a run ends when all is sent.", valueName: "d"))
  var every: String?

  @Option(
    help: ArgumentHelp(
      "Devices begin at places up to so far back in their history, and send it first, as fast as --rate allows; needs --every.",
      valueName: "d"))
  var backlog: String?

  @Option(
    help: ArgumentHelp(
      "A share of the devices is silent for a while, and then sends what it has read, as 0.1=5m; needs --every.",
      valueName: "share=d"))
  var offline: String?

  @Option(
    help: ArgumentHelp(
      "A share of the devices has a clock that is ahead, as 0.01=1825d, or behind, as 0.1=-2h; repeatable.",
      valueName: "share=d"))
  var clockAhead: [String] = []

  @Option(
    help: ArgumentHelp("Each event's time is up to so far before its reading, by chance: events are out of order.", valueName: "d"))
  var outOfOrder: String?

  @Option(
    help: ArgumentHelp(
      "When the run begins, for the events' times, as 2024-05-01T00:00:00Z, from 1970 to 2100 (default: now).", valueName: "t"))
  var start: String?

  /// Whether a run ends only when everything is sent.
  var isWhole: Bool { every != nil }

  /// The history with these options.
  func applied(to history: SimulatedHistory) throws -> SimulatedHistory {
    var history = history
    if let every { history.every = try SimulatedTimeOptions.length(every, "--every") }
    if let backlog {
      guard every != nil else { throw ValidationError("--backlog: needs --every, the time between two readings, as 1m") }
      history.backlog = try SimulatedTimeOptions.length(backlog, "--backlog")
    }
    if let offline {
      guard every != nil else { throw ValidationError("--offline: needs --every, the time between two readings, as 1s") }
      let share = try SimulatedTimeOptions.share(offline, "--offline")
      guard share.length > 0 else { throw ValidationError("--offline: expected a duration above 0, as 0.1=5m, not '\(offline)'") }
      history.offline = share
    }
    history.clocks = try clockAhead.map { try SimulatedTimeOptions.share($0, "--clock-ahead") }
    guard history.clocks.reduce(0, { $0 + $1.devices }) <= 1 else {
      throw ValidationError("--clock-ahead: the shares add up to more than 1")
    }
    if let outOfOrder { history.outOfOrder = try SimulatedTimeOptions.length(outOfOrder, "--out-of-order") }
    if let start {
      guard let time = Timestamp(rfc3339: start), let first = Timestamp(rfc3339: "1970-01-01T00:00:00Z"),
        let last = Timestamp(rfc3339: "2100-01-01T00:00:00Z"), (first...last).contains(time)
      else { throw ValidationError("--start: expected a time from 1970 to 2100, as 2024-05-01T00:00:00Z, not '\(start)'") }
      history.start = time
    }
    return history
  }

  private static func length(_ text: String, _ option: String) throws -> Int64 {
    guard let length = Duration(settingText: text), length > .zero, length <= lengthMax else {
      throw ValidationError("\(option): expected a duration above 0, at most 36500d, as 5m or 7d, not '\(text)'")
    }
    return length.nanosecondsHeld
  }

  /// Reads `0.1=5m` or `0.1=-2h`.
  private static func share(_ text: String, _ option: String) throws -> SimulatedHistory.Share {
    let parts = text.split(separator: "=", maxSplits: 1, omittingEmptySubsequences: false)
    let isBehind = parts.count == 2 && parts[1].hasPrefix("-")
    guard parts.count == 2, let devices = Double(parts[0]), devices > 0, devices <= 1,
      let length = Duration(settingText: String(parts[1].dropFirst(isBehind ? 1 : 0))), length <= lengthMax
    else { throw ValidationError("\(option): expected a share and a duration, as 0.1=5m, not '\(text)'") }
    return SimulatedHistory.Share(devices: devices, length: isBehind ? -length.nanosecondsHeld : length.nanosecondsHeld)
  }
}
