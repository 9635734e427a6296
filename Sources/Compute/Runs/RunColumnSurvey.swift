/// All that a column's values have in common, as they come: enough to tell the best form of the column at any time.
struct RunColumnSurvey: Sendable {
  private var isEmpty = true
  private var first: Int64 = 0
  private var smallest = Int64.max
  private var largest = Int64.min
  /// The bits in which any value differs from the first.
  private var differing: UInt64 = 0
  /// All distances are multiples of 1000 to the power of this.
  private var unit = RunColumn.units.count - 1
  /// All values are doubles with so many decimals; `RunColumn.powers.count` when they are not.
  private var digits = 0
  /// The values times 10^digits: whole numbers below 2^51 in magnitude.
  private var smallestDecimal = Double.infinity
  private var largestDecimal = -Double.infinity

  mutating func add(_ values: UnsafePointer<UInt64>, _ count: Int) {
    guard count > 0 else { return }
    if isEmpty { first = Int64(bitPattern: values[0]) }
    isEmpty = false
    var (low, high, bits) = (smallest, largest, differing)
    for index in 0..<count {
      let value = Int64(bitPattern: values[index])
      low = min(low, value)
      high = max(high, value)
      bits |= UInt64(bitPattern: value ^ first)
    }
    let hasDiffered = differing != 0
    (smallest, largest, differing) = (low, high, bits)
    guard differing != 0 else { return }
    if unit > 0 { addDistances(values, count) }
    guard digits < RunColumn.powers.count else { return }
    // Equal values take no bytes. Only what differs from them is worth a look at decimals.
    if !hasDiffered { withUnsafePointer(to: UInt64(bitPattern: first)) { addDecimals($0, 1) } }
    addDecimals(values, count)
  }

  private mutating func addDistances(_ values: UnsafePointer<UInt64>, _ count: Int) {
    for index in 0..<count {
      let value = Int64(bitPattern: values[index])
      let distance = UInt64(bitPattern: value >= first ? value &- first : first &- value)
      while unit > 0, distance % RunColumn.units[unit] != 0 { unit -= 1 }
      if unit == 0 { return }
    }
  }

  private mutating func addDecimals(_ values: UnsafePointer<UInt64>, _ count: Int) {
    var index = 0
    while digits < RunColumn.powers.count {
      let power = RunColumn.powers[digits]
      var (low, high) = (smallestDecimal, largestDecimal)
      while index < count {
        let scaled = Double(bitPattern: values[index]) * power
        let number = RunColumn.nearest(scaled)
        guard scaled.magnitude < 0x1p51, (number / power).bitPattern == values[index] else { break }
        low = number < low ? number : low
        high = number > high ? number : high
        index &+= 1
      }
      (smallestDecimal, largestDecimal) = (low, high)
      guard index < count else { return }
      takeMoreDigits()
    }
  }

  /// Takes one decimal more: n / 10^d and 10n / 10^(d + 1) are one number, which rounds to one double, as long as 10n is exact.
  private mutating func takeMoreDigits() {
    digits += 1
    guard smallestDecimal <= largestDecimal else { return }
    (smallestDecimal, largestDecimal) = (smallestDecimal * 10, largestDecimal * 10)
    if max(-smallestDecimal, largestDecimal) >= 0x1p51 { digits = RunColumn.powers.count }
  }

  /// The form in which the values so far take the fewest bytes.
  var column: RunColumn {
    guard !isEmpty, differing != 0 else {
      return RunColumn(form: 0, shift: 0, width: 0, base: UInt64(bitPattern: first))
    }
    // The distances are multiples of the unit and of a power of two, so of the unit's odd part and that power.
    let shift = max(0, differing.trailingZeroBitCount - 3 * unit)
    let span = (UInt64(bitPattern: largest &- smallest) / RunColumn.units[unit]) >> UInt64(shift)
    let plain = RunColumn(
      form: UInt8(unit), shift: UInt8(shift), width: RunColumn.width(span), base: UInt64(bitPattern: smallest))
    guard digits < RunColumn.powers.count else { return plain }
    let width = RunColumn.width(UInt64(largestDecimal - smallestDecimal))
    guard width < plain.width else { return plain }
    return RunColumn(
      form: RunColumn.decimalForm + UInt8(digits), shift: 0, width: width, base: UInt64(bitPattern: Int64(smallestDecimal)))
  }
}
