#if Secure
  import Compute
  import Events
  import Logging
  import Mesh
  import Wire

  /// Has the compute service own exactly the partitions that are leased, and tells other instances which those are.
  struct ComputeLeaseHolder: LeaseHolder {
    private static let attemptsMax = 3

    let compute: ComputeService
    let registration: MeshRegistration
    let logger: Logger

    func acquired(_ partitions: Set<Int>) async {
      let taken = Set(partitions.map { PartitionID($0) })
      for attempt in 1...ComputeLeaseHolder.attemptsMax {
        do throws(ComputeError) {
          try await compute.own(taken)
          break
        } catch {
          // Queries name them as missing; the lease stays, as another worker would as likely meet the same.
          logger.error("partitions \(partitions.sorted()) cannot be taken up: \(error)")
          guard attempt < ComputeLeaseHolder.attemptsMax else { break }
          do { try await Task.sleep(for: .seconds(1)) } catch { return }
        }
      }
      await announce()
      // It asks Consul, and what is leased next must not wait for that.
      Task { await compute.settleAnew(taken) }
    }

    func release(_ partitions: Set<Int>) async {
      await compute.release(Set(partitions.map { PartitionID($0) }))
      await announce()
    }

    func lost(_ partitions: Set<Int>) async {
      // The fence says no already: what is released is forgotten, and not checkpointed.
      await release(partitions)
    }

    private func announce() async {
      let owned = compute.ownedPartitions.map(\.index).sorted()
      let list = owned.map(String.init).joined(separator: ",")
      do throws(ConsulError) {
        try await registration.set(
          // The agent takes values of up to 512 bytes.
          metadata: [
            "version": "\(WireVersion.current)", "partitions": list.utf8.count <= 512 ? list : "\(owned.count) of them",
          ])
      } catch {
        logger.warning("announcing partitions: \(error)")
      }
    }
  }
#endif
