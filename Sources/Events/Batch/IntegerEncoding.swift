/// A column of integers as a base, a unit and small steps: value = base + step × unit.
///
/// ```
/// 0  i64 base   8  i64 unit (at least 1)   16  count × width bytes of unsigned steps
/// ```
/// Width is 0 (every value is the base), 1, 2, 4 or 8 bytes and is kept in the column's directory entry. Arithmetic wraps, so the
/// whole 64-bit range, signed or not, can be held.
enum IntegerEncoding {
  static let prefixBytes = 16
  /// The units tried for event times, past the smallest time: all times must be whole multiples. From a minute to a microsecond.
  static let timeUnits: [UInt64] = [60_000_000_000, 1_000_000_000, 1_000_000, 1000]

  @inline(__always) static func bytes(width: Int, count: Int) -> Int { prefixBytes + width * count }

  /// Appends the encoding of `values` and returns its width.
  static func encode<Value: FixedWidthInteger & UnsignedInteger & BitwiseCopyable>(
    _ values: UnsafePointer<Value>, count: Int, isSigned: Bool, units: [UInt64] = [], to output: inout GrowableBuffer<UInt8>
  ) -> UInt8 {
    guard count > 0 else {
      output.appendBytes(of: UInt64(0))
      output.appendBytes(of: UInt64(1))
      return 0
    }
    // Flipping the sign bit makes unsigned comparison order signed numbers.
    let flip: UInt64 = isSigned ? 1 << 63 : 0
    var smallest = UInt64(values[0]) ^ flip, largest = smallest
    for i in 0..<count {
      let value = UInt64(values[i]) ^ flip
      smallest = min(smallest, value)
      largest = max(largest, value)
    }
    let base = smallest ^ flip
    var divisor = ExactDivisor(1)
    for candidate in units where smallest != largest {
      let divides = ExactDivisor(candidate)
      var i = 0
      while i < count, divides.isMultiple(UInt64(values[i]) &- base) { i += 1 }
      if i == count {
        divisor = divides
        break
      }
    }
    let unit = divisor.unit
    output.appendBytes(of: base)
    output.appendBytes(of: unit)
    let span = (largest - smallest) / unit
    let width =
      switch span {
      case 0: 0
      case ...0xFF: 1
      case ...0xFFFF: 2
      case ...0xFFFF_FFFF: 4
      default: 8
      }
    guard width > 0 else { return 0 }
    output.reserve(output.count + count * width)
    let target = UnsafeMutableRawPointer(output.base + output.count)
    switch width {
    case 1: store(values, count, base, divisor, target, as: UInt8.self)
    case 2: store(values, count, base, divisor, target, as: UInt16.self)
    case 4: store(values, count, base, divisor, target, as: UInt32.self)
    default: store(values, count, base, divisor, target, as: UInt64.self)
    }
    output.setCount(output.count + count * width)
    return UInt8(width)
  }

  private typealias Unsigned = FixedWidthInteger & UnsignedInteger & BitwiseCopyable

  @inline(__always) private static func store<T: Unsigned, Value: Unsigned>(
    _ values: UnsafePointer<Value>, _ count: Int, _ base: UInt64, _ divisor: ExactDivisor, _ target: UnsafeMutableRawPointer,
    as type: T.Type
  ) {
    if divisor.unit == 1 {
      for i in 0..<count {
        target.storeBytes(
          of: T(truncatingIfNeeded: UInt64(values[i]) &- base).littleEndian, toByteOffset: i &* MemoryLayout<T>.size, as: T.self)
      }
    } else {
      for i in 0..<count {
        target.storeBytes(
          of: T(truncatingIfNeeded: divisor.quotient(UInt64(values[i]) &- base)).littleEndian,
          toByteOffset: i &* MemoryLayout<T>.size, as: T.self)
      }
    }
  }

  /// Decodes one value of a checked block.
  @inline(__always) static func value(_ block: UnsafeRawPointer, width: Int, at index: Int) -> UInt64 {
    let base = UInt64(littleEndian: block.loadUnaligned(as: UInt64.self))
    let unit = UInt64(littleEndian: block.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    let steps = block + prefixBytes
    let step: UInt64 =
      switch width {
      case 1: UInt64(steps.load(fromByteOffset: index, as: UInt8.self))
      case 2: UInt64(UInt16(littleEndian: steps.loadUnaligned(fromByteOffset: index &* 2, as: UInt16.self)))
      case 4: UInt64(UInt32(littleEndian: steps.loadUnaligned(fromByteOffset: index &* 4, as: UInt32.self)))
      case 8: UInt64(littleEndian: steps.loadUnaligned(fromByteOffset: index &* 8, as: UInt64.self))
      default: 0
      }
    return base &+ step &* unit
  }

  @inline(__always) static func decode<Output: FixedWidthInteger & BitwiseCopyable>(
    _ block: UnsafeRawPointer, width: Int, count: Int, into output: UnsafeMutablePointer<Output>
  ) {
    let base = UInt64(littleEndian: block.loadUnaligned(as: UInt64.self))
    let unit = UInt64(littleEndian: block.loadUnaligned(fromByteOffset: 8, as: UInt64.self))
    let steps = block + prefixBytes
    switch width {
    case 1: load(steps, count, base, unit, output, as: UInt8.self)
    case 2: load(steps, count, base, unit, output, as: UInt16.self)
    case 4: load(steps, count, base, unit, output, as: UInt32.self)
    case 8: load(steps, count, base, unit, output, as: UInt64.self)
    default: output.update(repeating: Output(truncatingIfNeeded: base), count: count)
    }
  }

  @inline(__always) private static func load<T: FixedWidthInteger & BitwiseCopyable, Output: FixedWidthInteger>(
    _ steps: UnsafeRawPointer, _ count: Int, _ base: UInt64, _ unit: UInt64, _ output: UnsafeMutablePointer<Output>,
    as type: T.Type
  ) {
    if unit == 1 {
      for i in 0..<count {
        let step = T(littleEndian: steps.loadUnaligned(fromByteOffset: i &* MemoryLayout<T>.size, as: T.self))
        output[i] = Output(truncatingIfNeeded: base &+ UInt64(truncatingIfNeeded: step))
      }
    } else {
      for i in 0..<count {
        let step = T(littleEndian: steps.loadUnaligned(fromByteOffset: i &* MemoryLayout<T>.size, as: T.self))
        output[i] = Output(truncatingIfNeeded: base &+ UInt64(truncatingIfNeeded: step) &* unit)
      }
    }
  }
}

/// Division of multiples by one unit, which takes a multiplication and a rotation.
/// Source: Henry S. Warren, "Hacker's Delight", 2nd edition, 10-16 and 10-17.
private struct ExactDivisor {
  let unit: UInt64
  private let shift: UInt64
  /// The inverse, modulo 2⁶⁴, of the unit without its factors of two.
  private let inverse: UInt64
  private let quotientMax: UInt64

  init(_ unit: UInt64) {
    self.unit = unit
    shift = UInt64(unit.trailingZeroBitCount)
    let odd = unit >> shift
    // Right in the lowest three bits; each step doubles their number.
    var inverse = odd
    for _ in 0..<5 { inverse = inverse &* (2 &- odd &* inverse) }
    self.inverse = inverse
    quotientMax = .max / unit
  }

  /// - Parameter multiple: A multiple of the unit.
  @inline(__always) func quotient(_ multiple: UInt64) -> UInt64 {
    let product = multiple &* inverse
    return product &>> shift | product &<< (64 &- shift)
  }

  @inline(__always) func isMultiple(_ value: UInt64) -> Bool { quotient(value) <= quotientMax }
}
