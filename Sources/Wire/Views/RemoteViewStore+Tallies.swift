import Events
import Views

extension RemoteViewStore {
  public nonisolated(nonsending) func tallies() async throws(ViewStoreError) -> [ViewTally] {
    let answers = try await peers.collect(
      WireRequest(.GET, "/v1/compute/tallies"), within: RemoteViewStore.slack,
      decode: { _, response -> [ViewTally]? in
        guard case .array(let views)? = response.json?["views"] else { return nil }
        let tallies = views.compactMap { ViewTally(json: $0) }
        return tallies.count == views.count ? tallies : nil
      })
    var merged: [ViewTally] = []
    for tally in answers.joined() {
      guard let known = merged.firstIndex(where: { $0.view == tally.view && $0.generation == tally.generation }) else {
        merged.append(tally)
        continue
      }
      // Where two instances have a partition on disk, the further one counts.
      var partitions = Dictionary(merged[known].partitions.map { ($0.partition, $0) }) { $1 }
      for one in tally.partitions {
        partitions.merge([one.partition: one]) { $0.nextOffset >= $1.nextOffset ? $0 : $1 }
      }
      merged[known].partitions = partitions.values.sorted { $0.partition < $1.partition }
    }
    return merged
  }
}

extension ViewTally {
  /// `{"view":"v","generation":1,"partitions":[[partition,next offset,applied,in rows,dropped]]}`
  var json: JSONValue {
    [
      "view": .string(view), "generation": .int(Int64(generation)),
      "partitions": .array(
        partitions.map {
          .array([
            .int(Int64($0.partition.index)), .int($0.nextOffset.rawValue), .int(Int64($0.applied)), .int(Int64($0.inRows)),
            .int(Int64($0.dropped)),
          ])
        }),
    ]
  }

  init?(json: JSONValue) {
    guard case .string(let view)? = json["view"], case .int(let generation)? = json["generation"],
      case .array(let elements)? = json["partitions"], elements.count <= PartitionID.countMax
    else { return nil }
    var partitions: [RowTally] = []
    for element in elements {
      guard case .array(let numbers) = element, numbers.count == 5, case .int(let partition) = numbers[0],
        (0..<Int64(PartitionID.countMax)).contains(partition), case .int(let next) = numbers[1],
        case .int(let applied) = numbers[2], case .int(let inRows) = numbers[3], case .int(let dropped) = numbers[4]
      else { return nil }
      partitions.append(
        RowTally(
          partition: PartitionID(Int(partition)), nextOffset: Offset(next), applied: Int(applied), inRows: Int(inRows),
          dropped: Int(dropped)))
    }
    self.init(view: view, generation: Int(clamping: generation), partitions: partitions)
  }
}
