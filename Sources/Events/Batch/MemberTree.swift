/// The members of `data` that a batch has columns for, as a tree, and the columns in the order in which a walk through it meets
/// them: so the values of one row, taken in that order, are its JSON text from left to right.
struct MemberTree {
  /// `data` itself.
  static let root = 0

  struct Node {
    var name: [UInt8]
    var members: [Int] = []
    /// The layout's numbers of the columns of this very path, one for each type.
    var columns: [Int] = []
  }

  private struct NodeName: Hashable {
    var parent: Int
    var name: ArraySlice<UInt8>
  }

  /// One step of a walk through a row's values.
  enum Step {
    /// An object begins. `isFirst`: it is the first member of the object around it, or `data` itself.
    case open(node: Int, isFirst: Bool)
    case value(node: Int, BatchRows.Cell, isFirst: Bool)
    /// The object opened last ends.
    case close
  }

  private(set) var nodes = [Node(name: [])]
  /// The columns' numbers in the layout, in the order of the walk.
  private(set) var columns: [Int] = []
  /// The nodes from below `data` down to each of `columns`, one after the other, and the end of each path.
  private var paths: [Int] = []
  private var pathEnds: [Int] = []

  /// - Complexity: One pass over the names.
  init(_ batch: ColumnBatch) {
    var known: [NodeName: Int] = [:]
    for (number, column) in batch.layout.columns.enumerated() where column.field == .data {
      let name = batch.withString(column.name) { Array($0) }
      // A path is each member's name with a zero byte before it.
      let members = name.isEmpty ? [] : name.dropFirst().split(separator: 0, omittingEmptySubsequences: false)
      // No reader accepts deeper paths: something else made such a batch.
      guard members.count < JSONCursor.depthMax else { continue }
      var node = MemberTree.root
      for member in members {
        let key = NodeName(parent: node, name: member)
        if let found = known[key] {
          node = found
        } else {
          known[key] = nodes.count
          nodes[node].members.append(nodes.count)
          node = nodes.count
          nodes.append(Node(name: Array(member)))
        }
      }
      nodes[node].columns.append(number)
    }
    var path: [Int] = []
    walk(MemberTree.root, &path)
  }

  private mutating func walk(_ node: Int, _ path: inout [Int]) {
    for column in nodes[node].columns {
      columns.append(column)
      paths += path
      pathEnds.append(paths.count)
    }
    for member in nodes[node].members {
      path.append(member)
      walk(member, &path)
      path.removeLast()
    }
  }

  /// - Parameter column: An index into `columns`.
  @inline(__always) private func path(of column: Int) -> Range<Int> {
    (column == 0 ? 0 : pathEnds[column - 1])..<pathEnds[column]
  }

  /// Walks through one row's values.
  /// - Parameter cells: The cells of `data`, in the order of `columns`; not empty. If values lie at one path, or one below the
  ///   other, which no reader makes, the first counts.
  /// - Complexity: Linear in the values and the depths of their paths.
  @inline(__always) func walk(_ cells: ArraySlice<BatchRows.Cell>, _ body: (Step) -> Void) {
    // The last value's path: the objects from `data` down to the value's parent are open.
    var last = 0..<0
    var isAny = false
    for cell in cells {
      let path = path(of: Int(cell.column))
      var common = 0
      while common < min(last.count, path.count), paths[last.lowerBound + common] == paths[path.lowerBound + common] {
        common += 1
      }
      if isAny {
        if common == last.count { continue }
        for _ in common + 1..<last.count { body(.close) }
      } else if !path.isEmpty {
        body(.open(node: MemberTree.root, isFirst: true))
      }
      var isFirst = !isAny
      for index in path.dropFirst(common).dropLast() {
        body(.open(node: paths[index], isFirst: isFirst))
        isFirst = true
      }
      body(.value(node: path.isEmpty ? MemberTree.root : paths[path.upperBound - 1], cell, isFirst: isFirst))
      (last, isAny) = (path, true)
    }
    for _ in 0..<last.count { body(.close) }
  }
}
