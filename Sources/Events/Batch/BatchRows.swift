/// The values of some rows of a batch, row by row, for making events.
///
/// - Complexity: One pass over the columns and the values of these rows. A column costs nothing in a row that has no value there,
///   so the time depends on the values alone, also for wide events and for events that have little in common.
struct BatchRows {
  struct Cell: BitwiseCopyable {
    /// The number of its column among the attributes, or in the tree's order.
    var column: UInt32
    /// Its number among the column's values.
    var value: UInt32
  }

  let attributes: [(name: [UInt8], column: BatchLayout.Column)]
  let tree: MemberTree
  let data: [BatchLayout.Column]
  private let first: Int
  private let attributeCells: Cells
  private let dataCells: Cells

  /// - Parameter rows: Rows within the batch's count.
  init(_ batch: ColumnBatch, _ rows: Range<Int>) {
    attributes = batch.layout.columns.filter { $0.field == .attribute }.map { column in
      (name: batch.withString(column.name) { Array($0) }, column: column)
    }.sorted { $0.name.lexicographicallyPrecedes($1.name) }
    tree = MemberTree(batch)
    data = tree.columns.map { batch.layout.columns[$0] }
    first = rows.lowerBound
    attributeCells = Cells(attributes.map(\.column), batch, rows)
    dataCells = Cells(data, batch, rows)
  }

  func attributes(ofRow row: Int) -> ArraySlice<Cell> { attributeCells[row - first] }

  func data(ofRow row: Int) -> ArraySlice<Cell> { dataCells[row - first] }

  /// A value's bits, as in `ValueVector`; a `null` or an id has none.
  @inline(__always) static func bits(_ column: BatchLayout.Column, _ cell: Cell, _ payload: UnsafeRawPointer) -> UInt64 {
    let values = payload + column.valuesPosition, value = Int(cell.value)
    return switch column.type {
    case .null, .text: 0
    case .bool: UInt64(values.load(fromByteOffset: value &>> 3, as: UInt8.self) &>> UInt8(value & 7) & 1)
    case .double: UInt64(littleEndian: values.loadUnaligned(fromByteOffset: value &* 8, as: UInt64.self))
    case .int, .unsigned, .string, .raw: IntegerEncoding.value(values, width: column.width, at: value)
    }
  }

  /// The values of columns, sorted by row.
  private struct Cells {
    /// The cells, row by row; within a row in the order of the columns.
    private var cells: [Cell]
    private var ends: [Int]

    init(_ columns: [BatchLayout.Column], _ batch: ColumnBatch, _ rows: Range<Int>) {
      // First counted; then each row's cells are put after those of earlier rows.
      var places = [Int](repeating: 0, count: rows.count + 1)
      let first = rows.lowerBound
      batch.withPayload { payload in
        places.withUnsafeMutableBufferPointer { places in
          for column in columns { column.forEachPresent(payload, in: rows) { row, _ in places[row - first + 1] += 1 } }
          for row in 0..<rows.count { places[row + 1] += places[row] }
        }
      }
      let count = places[rows.count]
      cells = [Cell](unsafeUninitializedCapacity: count) { cells, initialized in
        batch.withPayload { payload in
          places.withUnsafeMutableBufferPointer { places in
            for (number, column) in columns.enumerated() {
              column.forEachPresent(payload, in: rows) { row, value in
                cells.initializeElement(
                  at: places[row - first], to: Cell(column: UInt32(number), value: UInt32(truncatingIfNeeded: value)))
                places[row - first] += 1
              }
            }
          }
        }
        initialized = count
      }
      // Each entry has moved to its row's end.
      places.removeLast()
      ends = places
    }

    subscript(row: Int) -> ArraySlice<Cell> { cells[(row == 0 ? 0 : ends[row - 1])..<ends[row]] }
  }
}
