/// The member paths that one event loop has seen, numbered: a path is its parent's number and a name.
///
/// Devices send the same members in the same order, so each path remembers which path followed it last time; a right guess costs
/// one comparison and no hash. The table has a bound: beyond it, `needsReset` asks the owner to start anew once no builder refers
/// to the numbers.
struct PathTable: ~Copyable {
  /// Numbers of the well-known paths.
  enum Known {
    static let event: Int32 = 0
    static let names = [
      "", "source", "type", "id", "time", "data", "subject", "sequence", "epoch", "specversion", "data_base64",
    ]
    static let source: Int32 = 1, type: Int32 = 2, id: Int32 = 3, time: Int32 = 4, data: Int32 = 5, subject: Int32 = 6
    static let sequence: Int32 = 7, epoch: Int32 = 8, specversion: Int32 = 9, dataBase64: Int32 = 10
  }

  static let pathsMax = 16_384
  static let nameBytesMax = 1 << 20

  struct Node: BitwiseCopyable {
    var parent: Int32
    var namePosition: UInt32
    var nameCount: UInt32
    /// The child that came first last time.
    var firstChild: Int32 = -1
    /// The sibling that came next last time.
    var successor: Int32 = -1
    /// The event in which the path was seen last: finds duplicate members.
    var stamp: UInt32 = 0
    /// Bytes of the path below `data`, each name with the zero byte before it, as a batch writes it.
    var pathBytes: UInt32 = 0
    /// The name holds a zero byte, which stored paths use between names.
    var hasZero = false
    /// The members from the event down to this one; 0 for the event.
    var depth: UInt8 = 0
  }

  private(set) var nodes = GrowableBuffer<Node>(capacity: 256)
  private var names = GrowableBuffer<UInt8>(capacity: 4096)
  private var slots: GrowableBuffer<Int32>
  private var stamp: UInt32 = 0
  /// Keeps a sender from choosing names that share a slot of the hash table.
  private let seed = UInt64.random(in: .min ... .max)

  init() {
    slots = PathTable.emptySlots(512)
    for name in Known.names {
      var copy = name
      let parent: Int32 = nodes.count == 0 ? -1 : Known.event
      copy.withUTF8 { bytes in
        // A name's bytes are read in eights; a literal's may end at a page's end.
        var padded = GrowableBuffer<UInt8>(capacity: max(8, bytes.count))
        if let base = bytes.baseAddress { padded.append(base, count: bytes.count) }
        _ = insert(parent: parent, padded.base, bytes.count)
      }
    }
  }

  private static func emptySlots(_ count: Int) -> GrowableBuffer<Int32> {
    var slots = GrowableBuffer<Int32>(capacity: count)
    slots.base.update(repeating: -1, count: count)
    slots.setCount(count)
    return slots
  }

  var count: Int { nodes.count }
  var needsReset: Bool { nodes.count > PathTable.pathsMax || names.count > PathTable.nameBytesMax }

  @inline(__always) func name(_ path: Int32) -> UnsafeRawBufferPointer {
    let node = nodes[Int(path)]
    return UnsafeRawBufferPointer(start: names.base + Int(node.namePosition), count: Int(node.nameCount))
  }

  @inline(__always) func parent(_ path: Int32) -> Int32 { nodes[Int(path)].parent }

  @inline(__always) func depth(_ path: Int32) -> Int { Int(nodes[Int(path)].depth) }

  @inline(__always) func hasZero(_ path: Int32) -> Bool { nodes[Int(path)].hasZero }

  @inline(__always) func pathBytes(_ path: Int32) -> Int { Int(nodes[Int(path)].pathBytes) }

  /// Begins an event: no path has been seen in it.
  @inline(__always) mutating func beginEvent() {
    stamp &+= 1
    if stamp == 0 {
      for path in 0..<nodes.count { nodes.base[path].stamp = 0 }
      stamp = 1
    }
  }

  /// Notes that the path was seen in this event; false when it had been before.
  @inline(__always) func mark(_ path: Int32) -> Bool { marks.mark(path) }

  /// The notes of the paths seen in this event, valid until a path is added or the event ends.
  struct Marks: BitwiseCopyable {
    fileprivate let nodes: UnsafeMutablePointer<Node>
    fileprivate let stamp: UInt32

    @inline(__always) func mark(_ path: Int32) -> Bool {
      let node = nodes + Int(path)
      guard node.pointee.stamp != stamp else { return false }
      node.pointee.stamp = stamp
      return true
    }

    /// Notes that the path was seen in this event, and the objects above it that are opened with it.
    /// - Returns: False, and nothing is noted, when the outermost of them had been seen before.
    @inline(__always) func mark(_ path: Int32, opened: UInt8) -> Bool {
      var outermost = path
      for _ in 0..<opened { outermost = nodes[Int(outermost)].parent }
      // Nothing has been seen in an object that had not been seen itself.
      guard mark(outermost) else { return false }
      var path = path
      while path != outermost {
        nodes[Int(path)].stamp = stamp
        path = nodes[Int(path)].parent
      }
      return true
    }
  }

  @inline(__always) var marks: Marks { Marks(nodes: nodes.base, stamp: stamp) }

  /// The number of the member `name` of `parent`, where `previous` is the member before it, or -1.
  @inline(__always) mutating func path(
    parent: Int32, previous: Int32, _ name: UnsafePointer<UInt8>, _ count: Int
  ) -> Int32 {
    let guess = previous < 0 ? nodes[Int(parent)].firstChild : nodes[Int(previous)].successor
    if guess >= 0 {
      let node = nodes[Int(guess)]
      if Int(node.nameCount) == count, equalPadded(names.base + Int(node.namePosition), name, count) { return guess }
    }
    let found = find(parent: parent, name, count)
    if previous < 0 { nodes.base[Int(parent)].firstChild = found } else { nodes.base[Int(previous)].successor = found }
    return found
  }

  mutating func attribute(_ name: String) -> Int32 {
    var padded = GrowableBuffer<UInt8>(capacity: name.utf8.count)
    for byte in name.utf8 { padded.append(byte) }
    return find(parent: Known.event, padded.base, padded.count)
  }

  @inline(never) private mutating func find(parent: Int32, _ name: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    let mask = slots.count - 1
    var slot = Int(truncatingIfNeeded: tableHash(name, count, seed: seed &+ UInt64(UInt32(bitPattern: parent)))) & mask
    while case let path = slots[slot], path >= 0 {
      let node = nodes[Int(path)]
      if node.parent == parent, Int(node.nameCount) == count, equalPadded(names.base + Int(node.namePosition), name, count) {
        return path
      }
      slot = (slot + 1) & mask
    }
    return insert(parent: parent, name, count)
  }

  private mutating func insert(parent: Int32, _ name: UnsafePointer<UInt8>, _ count: Int) -> Int32 {
    if (nodes.count + 1) * 2 > slots.count {
      var larger = PathTable.emptySlots(slots.count * 2)
      swap(&slots, &larger)
      for path in 0..<nodes.count { place(Int32(path)) }
    }
    let path = Int32(nodes.count)
    let hasZero = UnsafeBufferPointer(start: name, count: count).contains(0)
    nodes.append(
      Node(
        parent: parent, namePosition: UInt32(names.count), nameCount: UInt32(count),
        pathBytes: parent < Known.data ? 0 : nodes[Int(parent)].pathBytes + UInt32(count) + 1, hasZero: hasZero,
        depth: parent < 0 ? 0 : nodes[Int(parent)].depth + 1))
    names.append(name, count: count)
    place(path)
    return path
  }

  private func place(_ path: Int32) {
    let node = nodes[Int(path)]
    let mask = slots.count - 1
    let hash = tableHash(
      names.base + Int(node.namePosition), Int(node.nameCount), seed: seed &+ UInt64(UInt32(bitPattern: node.parent)))
    var slot = Int(truncatingIfNeeded: hash) & mask
    while slots[slot] >= 0 { slot = (slot + 1) & mask }
    slots[slot] = path
  }

  /// Writes a data path in the batch's form: each member's name with a zero byte before it; nothing for `data` itself.
  func writeDataPath(_ path: Int32, to output: inout GrowableBuffer<UInt8>) {
    guard path != Known.data else { return }
    writeDataPath(nodes[Int(path)].parent, to: &output)
    output.append(0)
    let name = name(path)
    if let base = name.bindMemory(to: UInt8.self).baseAddress { output.append(base, count: name.count) }
  }
}
