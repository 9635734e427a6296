/// The members' names of objects that are kept as text: finds a name that comes twice in one object.
///
/// - Complexity: Linear in the names' bytes, however many objects have them.
struct MemberNames: ~Copyable {
  struct Entry: BitwiseCopyable {
    var object: UInt32
    var hash: UInt32
    var name: EventTape.Slice
  }

  private var entries = GrowableBuffer<Entry>(capacity: 64)
  /// The entry's number plus one; 0 for none. At most half full.
  private var slots = GrowableBuffer<UInt32>(capacity: 128)
  private var objects: UInt32 = 0
  /// Keeps a sender from choosing names that share a slot of the hash table.
  private let seed = UInt64.random(in: .min ... .max)

  init() { slots.setCount(128) }

  /// Forgets all names, so that the bytes they point into may go.
  mutating func removeAll() {
    guard entries.count > 0 else { return }
    objects = 0
    if slots.count > 4096 {
      // As many names have come, so shrinking costs no more than they did.
      slots = GrowableBuffer<UInt32>(capacity: 128)
      slots.setCount(128)
    } else {
      slots.base.update(repeating: 0, count: slots.count)
    }
    entries.removeAll(keepingAtMost: 4096)
  }

  /// Begins an object, and gives its number.
  mutating func beginObject() -> UInt32 {
    objects &+= 1
    return objects
  }

  /// - Parameter name: May be read to the next multiple of eight bytes, and lives until `removeAll`.
  /// - Returns: False where the object has a member of that name already.
  mutating func insert(_ name: EventTape.Slice, in object: UInt32) -> Bool {
    let hash = UInt32(truncatingIfNeeded: tableHash(name.start, name.count, seed: seed &+ UInt64(object)))
    let mask = slots.count &- 1
    var slot = Int(hash) & mask
    while case let number = slots[slot], number != 0 {
      let entry = entries[Int(number) &- 1]
      if entry.hash == hash, entry.object == object, entry.name.count == name.count,
        equalPadded(entry.name.start, name.start, name.count)
      {
        return false
      }
      slot = (slot &+ 1) & mask
    }
    entries.append(Entry(object: object, hash: hash, name: name))
    slots[slot] = UInt32(entries.count)
    if entries.count * 2 > slots.count { grow() }
    return true
  }

  private mutating func grow() {
    let size = slots.count * 2
    var larger = GrowableBuffer<UInt32>(capacity: size)
    larger.setCount(size)
    for index in 0..<entries.count {
      var slot = Int(entries[index].hash) & (size - 1)
      while larger[slot] != 0 { slot = (slot + 1) & (size - 1) }
      larger[slot] = UInt32(index) + 1
    }
    swap(&slots, &larger)
  }
}
