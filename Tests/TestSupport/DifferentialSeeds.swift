import Foundation

/// The seeds of suites that compare Penstock with a plain model; `ops/differential` asks for more of them.
public enum DifferentialSeeds {
  /// `count` seeds from 0 on, unless `PENSTOCK_DIFFERENTIAL_SEEDS` says how many and `PENSTOCK_DIFFERENTIAL_FIRST` from where.
  public static func range(_ count: Int) -> Range<UInt64> {
    func number(_ name: String) -> UInt64? { ProcessInfo.processInfo.environment[name].flatMap { UInt64($0) } }
    let first = number("PENSTOCK_DIFFERENTIAL_FIRST") ?? 0
    return first..<first + (number("PENSTOCK_DIFFERENTIAL_SEEDS") ?? UInt64(count))
  }
}
