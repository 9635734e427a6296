import Glibc

struct BenchError: Error, CustomStringConvertible {
  var description: String
  init(_ description: String) { self.description = description }
}

func median(_ values: [Double]) -> Double {
  let sorted = values.sorted()
  return sorted.isEmpty ? .nan : sorted[sorted.count / 2]
}

/// `number` with `digits` after the point.
func fixed(_ number: Double, _ digits: Int) -> String {
  guard number.isFinite else { return "-" }
  var scale = 1.0
  for _ in 0..<digits { scale *= 10 }
  let scaled = Int64((abs(number) * scale).rounded())
  let sign = number < 0 ? "-" : ""
  guard digits > 0 else { return sign + String(scaled) }
  var fraction = String(scaled % Int64(scale))
  while fraction.utf8.count < digits { fraction = "0" + fraction }
  return "\(sign)\(scaled / Int64(scale)).\(fraction)"
}

/// Nanoseconds of a clock that only rises.
@inline(__always) func monotonicNow() -> UInt64 {
  var time = timespec()
  clock_gettime(CLOCK_MONOTONIC, &time)
  return UInt64(time.tv_sec) * 1_000_000_000 + UInt64(time.tv_nsec)
}

/// A process's use of the machine, from /proc.
struct ProcessUsage {
  var cpuSeconds: Double
  var residentMiB: Double

  /// The bytes that this process has given to the disk.
  static var writtenBytes: Int {
    let line = (text("/proc/self/io") ?? "").split(separator: "\n").first { $0.hasPrefix("write_bytes: ") }
    return line.flatMap { Int($0.dropFirst("write_bytes: ".count)) } ?? 0
  }

  /// - Parameter pid: Nil for this process.
  static func read(_ pid: Int?) -> ProcessUsage? {
    let folder = "/proc/" + (pid.map(String.init) ?? "self")
    guard let stat = text(folder + "/stat"), let status = text(folder + "/status") else { return nil }
    // The command's name is in brackets, and may hold spaces.
    guard let close = stat.lastIndex(of: ")") else { return nil }
    let fields = stat[stat.index(after: close)...].split(separator: " ")
    guard fields.count > 12, let user = Double(fields[11]), let system = Double(fields[12]) else { return nil }
    var resident = 0.0
    for line in status.split(separator: "\n") where line.hasPrefix("VmRSS:") {
      resident = (line.split(whereSeparator: { $0 == " " || $0 == "\t" }).dropFirst().first.flatMap { Double($0) } ?? 0) / 1024
    }
    return ProcessUsage(cpuSeconds: (user + system) / Double(sysconf(Int32(_SC_CLK_TCK))), residentMiB: resident)
  }

  private static func text(_ path: String) -> String? {
    let file = open(path, O_RDONLY)
    guard file >= 0 else { return nil }
    defer { close(file) }
    var bytes = [UInt8](repeating: 0, count: 16_384)
    let count = Glibc.read(file, &bytes, bytes.count)
    return count > 0 ? String(decoding: bytes[..<count], as: UTF8.self) : nil
  }
}
