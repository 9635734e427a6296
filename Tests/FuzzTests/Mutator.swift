import TestSupport

/// Makes inputs out of others: the usual changes of a fuzzer, drawn by a seed.
struct Mutator {
  static let bytesMax = 16 << 10

  private let corpus: [[UInt8]]
  private let dictionary: [[UInt8]]
  private var random: SeededGenerator

  init(corpus: [[UInt8]], dictionary: [[UInt8]], seed: UInt64) {
    precondition(!corpus.isEmpty, "a corpus has an input")
    self.corpus = corpus
    self.dictionary = dictionary
    random = SeededGenerator(seed: seed)
  }

  mutating func next() -> [UInt8] {
    var input = corpus[below(corpus.count)]
    for _ in 0...below(5) { change(&input) }
    if input.count > Mutator.bytesMax { input.removeLast(input.count - Mutator.bytesMax) }
    return input
  }

  private mutating func below(_ bound: Int) -> Int { Int.random(in: 0..<max(bound, 1), using: &random) }

  private mutating func change(_ input: inout [UInt8]) {
    let at = below(input.count + 1)
    let end = min(input.count, at + 1 + below(below(4) == 0 ? 256 : 8))
    switch below(10) {
    case 0 where !input.isEmpty: input[below(input.count)] ^= 1 << UInt8(below(8))
    case 1 where !input.isEmpty: input[below(input.count)] = [0, 1, 0x7F, 0x80, 0xFF, 0x20, 0x22, 0x5C][below(8)]
    case 2: input.insert(contentsOf: (0...below(8)).map { _ in UInt8(below(256)) }, at: at)
    case 3: input.removeSubrange(at..<end)
    case 4: input.insert(contentsOf: Array(input[at..<end]), at: at)
    case 5: input.insert(contentsOf: Array(repeating: Array(input[at..<end]), count: 1 + below(64)).joined(), at: at)
    case 6 where !dictionary.isEmpty: input.insert(contentsOf: dictionary[below(dictionary.count)], at: at)
    case 7:
      let other = corpus[below(corpus.count)]
      input.replaceSubrange(at..., with: other[below(other.count + 1)...])
    case 8 where input.count >= 4:
      // A number in place of another: lengths and counts at their edges.
      let place = below(input.count - 3)
      let number = [0, 1, 0xFF, 0x100, 0xFFFF, 0x10000, 0x7FFF_FFFF, 0x8000_0000, 0xFFFF_FFFF, UInt32(below(1 << 20))][below(10)]
      for byte in 0..<4 { input[place + byte] = UInt8(truncatingIfNeeded: number >> UInt32(byte * 8)) }
    default: input.removeLast(min(input.count, below(8)))
    }
  }
}
