/// SplitMix64: the same numbers for the same seed, everywhere. Source: S. Vigna, splitmix64.
public struct SeededGenerator: RandomNumberGenerator, Sendable {
  private var state: UInt64

  /// Seeds are spread: counting up by one state a number, neighbours would else run through the same numbers.
  public init(seed: UInt64) { state = SeededGenerator.mixed(seed &+ 0x1234_5678_9ABC_DEF1) }

  public mutating func next() -> UInt64 {
    state &+= 0x9E37_79B9_7F4A_7C15
    return SeededGenerator.mixed(state)
  }

  private static func mixed(_ value: UInt64) -> UInt64 {
    var z = value
    z = (z ^ (z >> 30)) &* 0xBF58_476D_1CE4_E5B9
    z = (z ^ (z >> 27)) &* 0x94D0_49BB_1331_11EB
    return z ^ (z >> 31)
  }
}
