import Foundation

#if canImport(Glibc)
  import Glibc
#endif

/// The operating system's figures of this process, read when asked.
enum ProcessMetrics {
  struct Sample: Sendable {
    var name: String
    var help: String
    var isCounter: Bool
    var value: Double
  }

  /// The figures that can be read; empty where there is no /proc.
  static func read() -> [Sample] {
    var samples: [Sample] = []
    #if os(Linux)
      if let stat = fields(ofStat: text(of: "/proc/self/stat")) {
        let ticks = Double(sysconf(Int32(_SC_CLK_TCK)))
        // Numbered as in proc(5), from 3, the state: 14 utime, 15 stime, 20 threads, 22 starttime, 24 rss in pages.
        func field(_ number: Int) -> Double? { stat.indices.contains(number - 3) ? Double(stat[number - 3]) : nil }
        if let user = field(14), let system = field(15) {
          add("cpu_seconds_total", "User and system CPU time spent, in seconds.", (user + system) / ticks, isCounter: true)
        }
        if let threads = field(20) { add("threads", "Threads.", threads) }
        if let start = field(22), let boot = bootTime() {
          add("start_time_seconds", "Start of the process, in seconds since the epoch.", boot + start / ticks)
        }
        if let pages = field(24) {
          add("resident_memory_bytes", "Resident memory, in bytes.", pages * Double(sysconf(Int32(_SC_PAGESIZE))))
        }
      }
      if let open = try? FileManager.default.contentsOfDirectory(atPath: "/proc/self/fd") {
        add("open_fds", "Open file descriptors.", Double(open.count))
      }
      var limit = rlimit()
      if getrlimit(__rlimit_resource_t(RLIMIT_NOFILE.rawValue), &limit) == 0 {
        add("max_fds", "File descriptors the process may open.", Double(limit.rlim_cur))
      }
    #endif
    return samples

    func add(_ name: String, _ help: String, _ value: Double, isCounter: Bool = false) {
      samples.append(Sample(name: "penstock_process_\(name)", help: help, isCounter: isCounter, value: value))
    }
  }

  private static func text(of path: String) -> String? {
    guard let data = FileManager.default.contents(atPath: path) else { return nil }
    return String(decoding: data, as: UTF8.self)
  }

  /// The fields after the command's name, which is in parentheses and may hold anything.
  private static func fields(ofStat stat: String?) -> [Substring]? {
    guard let stat, let end = stat.lastIndex(of: ")") else { return nil }
    return stat[stat.index(after: end)...].split(separator: " ")
  }

  private static func bootTime() -> Double? {
    text(of: "/proc/stat")?.split(separator: "\n").first { $0.hasPrefix("btime ") }.flatMap { Double($0.dropFirst(6)) }
  }
}
