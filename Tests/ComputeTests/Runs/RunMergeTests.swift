import Aggregates
import TestSupport
import Testing
import Views

@testable import Compute

/// Versions of rows by place, the newest first: a plain model of runs.
private struct RunModel {
  private var versions: [RowPlace: [PlainVersion]] = [:]

  /// - Parameter runs: The newest first.
  init(_ runs: [[PlainRow]]) {
    for run in runs {
      for row in run { versions[row.place, default: []].append(row.version) }
    }
  }

  func rows(_ layout: StateLayout) -> [PlainRow] {
    versions.keys.sorted { $0.isBefore($1) }.map { PlainRow($0, RunModel.merged(versions[$0]!, layout)) }
  }

  private static func merged(_ versions: [PlainVersion], _ layout: StateLayout) -> PlainVersion {
    let end = versions.firstIndex(where: \.isWhole)
    var rows = StateRows(layout: layout)
    rows.append()
    for version in versions[...(end ?? versions.count - 1)] {
      version.state.withUnsafeBufferPointer { rows.merge(into: 0, $0) }
    }
    var state: [UInt64] = []
    rows.appendCanonical(0, to: &state)
    return PlainVersion(isWhole: end != nil, events: versions.reduce(0) { $0 + $1.events }, state: state)
  }
}

@Suite struct RunMergeTests {
  /// Runs that share many of their rows.
  private func randomRuns(_ random: inout RandomRuns) -> [[PlainRow]] {
    let places = random.places([1, 10, 60].randomElement(using: &random.random)!)
    return (0..<Int.random(in: 1...9, using: &random.random)).map { _ in
      let share = Int.random(in: 0...8, using: &random.random)
      let wholeOf4 = Int.random(in: 0...4, using: &random.random)
      return places.filter { _ in Int.random(in: 0..<8, using: &random.random) < share }.map { place in
        PlainRow(place, random.version(isWhole: Int.random(in: 0..<4, using: &random.random) < wholeOf4))
      }
    }
  }

  @Test(
    "merged runs have the rows of a plain model, whichever neighbours are merged first", arguments: DifferentialSeeds.range(300))
  func differential(seed: UInt64) throws {
    var random = RandomRuns(seed: seed, stateCount: 10)
    let plain = randomRuns(&random)
    let stride = random.layout.stride
    var runs = try plain.map { rows in
      try listedRun(rows, stride: stride, rowsPerBlock: [.max, 7, 1].randomElement(using: &random.random)!)
    }
    let expected = RunModel(plain).rows(random.layout)
    #expect(try merged(runs, random.layout) == expected, "seed \(seed)")
    #expect(expected.reduce(0) { $0 + $1.version.events } == plain.joined().reduce(0) { $0 + $1.version.events }, "seed \(seed)")
    while runs.count > 1 {
      let first = Int.random(in: 0..<runs.count - 1, using: &random.random)
      let last = Int.random(in: first + 1..<runs.count, using: &random.random)
      let one = try merged(Array(runs[first...last]), random.layout)
      runs.replaceSubrange(first...last, with: [try listedRun(one, stride: stride, rowsPerBlock: 9)])
      #expect(try merged(runs, random.layout) == expected, "seed \(seed), \(first)...\(last) first")
    }
  }

  @Test("many runs merge, and none gives nothing", arguments: [0, 1, 2, 3, 5, 31, 64])
  func counts(count: Int) throws {
    var random = RandomRuns(seed: UInt64(count))
    let plain = (0..<count).map { _ in random.run(20) }
    let runs = try plain.map { try listedRun($0, stride: random.layout.stride, rowsPerBlock: 3) }
    #expect(try merged(runs, random.layout) == RunModel(plain).rows(random.layout))
  }

  @Test("a peek names the next row and takes nothing")
  func peek() throws {
    var random = RandomRuns(seed: 4)
    let plain = randomRuns(&random)
    var merge = RunMerge(
      try plain.map { try listedRun($0, stride: random.layout.stride, rowsPerBlock: 2) }, layout: random.layout)
    for row in RunModel(plain).rows(random.layout) {
      for _ in 0..<2 { #expect(try merge.peek(()) == row.place) }
      #expect(try nextRow(&merge) == row)
    }
    #expect(try merge.peek(()) == nil)
    #expect(try nextRow(&merge) == nil)
  }

  @Test("a copy goes on by itself", arguments: 1...20 as ClosedRange<UInt64>)
  func copies(seed: UInt64) throws {
    var random = RandomRuns(seed: seed)
    let plain = randomRuns(&random)
    let expected = RunModel(plain).rows(random.layout)
    var merge = RunMerge(
      try plain.map { try listedRun($0, stride: random.layout.stride, rowsPerBlock: 5) }, layout: random.layout)
    for start in expected.indices {
      var copy = merge
      for row in expected[start...] { #expect(try nextRow(&copy) == row, "seed \(seed)") }
      #expect(try nextRow(&merge) == expected[start], "seed \(seed)")
    }
  }

  @Test("only the rows within a block's range are merged, also where none is")
  func narrowed() throws {
    var random = RandomRuns(seed: 12)
    var plain = [random.run(30), random.run(30)]
    var runs = try plain.map { try listedRun($0, stride: random.layout.stride, rowsPerBlock: 10) }
    for run in runs.indices {
      for (number, block) in runs[run].blocks.enumerated() {
        runs[run].blocks[number].rows = number == 1 ? 5..<5 : min(2, block.rows.count)..<min(7, block.rows.count)
      }
      plain[run] = runs[run].blocks.flatMap { rows(of: $0) }
    }
    #expect(try merged(runs, random.layout) == RunModel(plain).rows(random.layout))
  }

  @Test("blocks that do not follow one another are damage")
  func order() throws {
    let all = (0..<4).map { PlainRow(RowPlace(slot: $0, key: [1]), PlainVersion(isWhole: true, events: 1, state: [])) }
    var run = try listedRun(all, stride: 0, rowsPerBlock: 2)
    run.blocks.swapAt(0, 1)
    #expect(throws: RunBlockDamage.order) { try merged([run], nil) }
    #expect(throws: RunBlockDamage.order) { try merged([ListedBlocks(blocks: [run.blocks[0], run.blocks[0]])], nil) }
  }

  /// Blocks of which some reads fail once.
  private struct FailingBlocks: RunBlocks {
    struct Failure: Error {}
    var blocks: ListedBlocks

    mutating func next(_ isFailing: Bool) throws -> RunBlock? {
      guard !isFailing else { throw Failure() }
      return blocks.next(())
    }
  }

  @Test("after a read that failed the merge goes on where it was")
  func failure() throws {
    var random = RandomRuns(seed: 21)
    let plain = randomRuns(&random)
    let expected = RunModel(plain).rows(random.layout)
    var merge = RunMerge(
      try plain.map { FailingBlocks(blocks: try listedRun($0, stride: random.layout.stride, rowsPerBlock: 2)) },
      layout: random.layout)
    var found: [PlainRow] = []
    var failures = 0
    while true {
      do {
        while try merge.next(true, { found.append(PlainRow($0)) }) {}
      } catch is FailingBlocks.Failure { failures += 1 }
      guard try merge.next(false, { found.append(PlainRow($0)) }) else { break }
    }
    #expect(found == expected && failures > 1)
  }

  @Test("whole versions need no layout")
  func wholeAlone() throws {
    let runs: [[PlainRow]] = (0..<3).map { run in
      (0..<10).map { PlainRow(RowPlace(slot: $0, key: []), PlainVersion(isWhole: true, events: 2, state: [UInt64(run)])) }
    }
    let found = try merged(try runs.map { try listedRun($0, stride: 1) }, nil)
    #expect(found.map(\.version) == Array(repeating: PlainVersion(isWhole: true, events: 6, state: [0]), count: 10))
  }
}
