/// One word of each row of a block: a base and small steps.
///
/// ```
/// 0   u8   form    0...3: value = base + step · 1000^form · 2^shift
///                  16 + d, d in 0...6: a double, (base + step) / 10^d
/// 1   u8   shift   0...63
/// 2   u8   width   of a step in bytes, 0...8
/// 3   u64  base
/// 11  rows × width bytes: the steps, unsigned
/// ```
/// Arithmetic wraps. So a column of equal words takes 11 bytes, times in milliseconds and doubles of two decimals two to four
/// bytes a row.
struct RunColumn {
  static let headerBytes = 11
  static let decimalForm: UInt8 = 16
  static let units: [UInt64] = [1, 1000, 1_000_000, 1_000_000_000]
  static let powers: [Double] = [1, 10, 100, 1000, 1e4, 1e5, 1e6]

  var form: UInt8
  var shift: UInt8
  var width: Int
  var base: UInt64

  /// The bytes of a column of so many rows.
  func byteCount(_ rows: Int) -> Int { RunColumn.headerBytes + width * rows }

  static func width(_ span: UInt64) -> Int { (71 - span.leadingZeroBitCount) / 8 }

  /// 10^d where the column has doubles.
  private var power: Double? {
    form < RunColumn.decimalForm ? nil : RunColumn.powers[Int(form - RunColumn.decimalForm)]
  }

  // MARK: Writing

  /// Writes the column.
  /// - Parameter target: Up to eight bytes behind the column are written, too.
  /// - Returns: The column's end.
  func write(_ values: UnsafePointer<UInt64>, _ rows: Int, to target: UnsafeMutableRawPointer) -> UnsafeMutableRawPointer {
    target.storeBytes(of: form, as: UInt8.self)
    target.storeBytes(of: shift, toByteOffset: 1, as: UInt8.self)
    target.storeBytes(of: UInt8(width), toByteOffset: 2, as: UInt8.self)
    target.storeBytes(of: base.littleEndian, toByteOffset: 3, as: UInt64.self)
    let steps = target + RunColumn.headerBytes
    guard width > 0 else { return steps }
    if let power {
      for row in 0..<rows {
        let step = RunColumn.whole(Double(bitPattern: values[row]) * power) &- base
        steps.storeBytes(of: step.littleEndian, toByteOffset: row &* width, as: UInt64.self)
      }
    } else {
      // Every distance is a multiple of 1000^form · 2^shift. So it is divided without a division: by the power of two, then by
      // the power of five, which is multiplying by its inverse modulo 2^64.
      let twos = UInt64(3 * form + shift)
      let inverse = RunColumn.inverse(RunColumn.units[Int(form)] >> UInt64(3 * form))
      for row in 0..<rows {
        let step = ((values[row] &- base) &>> twos) &* inverse
        steps.storeBytes(of: step.littleEndian, toByteOffset: row &* width, as: UInt64.self)
      }
    }
    return steps + width * rows
  }

  /// The inverse of an odd number modulo 2^64, by Newton's method.
  private static func inverse(_ odd: UInt64) -> UInt64 {
    var inverse = odd
    for _ in 0..<5 { inverse = inverse &* (2 &- odd &* inverse) }
    return inverse
  }

  /// Added to a number below 2^51, it leaves the nearest whole one in the lowest bits.
  private static let rounding = 0x1.8p52

  /// The nearest whole number to one below 2^51.
  @inline(__always) static func nearest(_ value: Double) -> Double { (value + rounding) - rounding }

  /// The bits of the nearest whole number to one below 2^51.
  @inline(__always) private static func whole(_ value: Double) -> UInt64 {
    (value + rounding).bitPattern &- rounding.bitPattern
  }

  // MARK: Reading

  /// Reads a column's header.
  /// - Parameter bytes: At least `headerBytes` of them.
  init(header bytes: UnsafeRawPointer) throws(RunBlockDamage) {
    form = bytes.load(as: UInt8.self)
    shift = bytes.load(fromByteOffset: 1, as: UInt8.self)
    width = Int(bytes.load(fromByteOffset: 2, as: UInt8.self))
    base = UInt64(littleEndian: bytes.loadUnaligned(fromByteOffset: 3, as: UInt64.self))
    let forms = form < RunColumn.decimalForm ? RunColumn.units.count : RunColumn.powers.count
    guard form & (RunColumn.decimalForm - 1) < forms, form < 2 * RunColumn.decimalForm, shift < 64, width <= 8 else {
      throw .bounds
    }
  }

  init(form: UInt8, shift: UInt8, width: Int, base: UInt64) {
    self.form = form
    self.shift = shift
    self.width = width
    self.base = base
  }

  /// Gives the values of some rows to `store`.
  /// - Parameter steps: The column's steps. Up to eight bytes behind them are read.
  @inline(__always) func read(_ rows: Range<Int>, _ steps: UnsafeRawPointer, _ store: (_ row: Int, _ value: UInt64) -> Void) {
    let mask: UInt64 = width == 0 ? 0 : .max >> UInt64(64 - 8 * width)
    if let power {
      for row in rows {
        let step = UInt64(littleEndian: steps.loadUnaligned(fromByteOffset: row &* width, as: UInt64.self)) & mask
        store(row, (Double(Int64(bitPattern: base &+ step)) / power).bitPattern)
      }
    } else if width == 0 {
      for row in rows { store(row, base) }
    } else {
      let factor = RunColumn.units[Int(form)] << UInt64(shift)
      for row in rows {
        let step = UInt64(littleEndian: steps.loadUnaligned(fromByteOffset: row &* width, as: UInt64.self)) & mask
        store(row, base &+ step &* factor)
      }
    }
  }
}
