#if Secure
  import Compute
  import Events
  import Logging
  import Mesh

  /// Makes the compute service own exactly the leased partitions, and answer for those handed over until another worker does.
  struct ComputeLeaseHolder: LeaseHolder {
    private static let attemptsMax = 3

    let compute: ComputeService
    let logger: Logger

    func acquired(_ partitions: Set<Int>) async {
      let taken = ComputeLeaseHolder.ids(partitions)
      for attempt in 1...ComputeLeaseHolder.attemptsMax {
        do throws(ComputeError) {
          try await compute.own(taken)
          break
        } catch {
          // Queries name these partitions as missing. The lease stays, as another worker would probably fail the same way.
          logger.error("partitions \(partitions.sorted()) cannot be taken up: \(error)")
          guard attempt < ComputeLeaseHolder.attemptsMax else { break }
          do { try await Task.sleep(for: .seconds(1)) } catch { return }
        }
      }
      // Settling asks Consul, and the next lease must not wait for that.
      Task { await compute.generations.settleAnew(taken) }
    }

    func handOver(_ partitions: Set<Int>) async { await compute.partitions.handOver(ComputeLeaseHolder.ids(partitions)) }

    /// The fence says no already, so nothing is stored for them.
    func lost(_ partitions: Set<Int>) async { await handOver(partitions) }

    func release(_ partitions: Set<Int>) async { await compute.partitions.release(ComputeLeaseHolder.ids(partitions)) }

    private static func ids(_ partitions: Set<Int>) -> Set<PartitionID> { Set(partitions.map { PartitionID($0) }) }
  }
#endif
