#if Secure
  import Crypto
  import Foundation
  import NIOCore
  import NIOPosix
  import TestSupport
  import Testing

  @testable import Mesh

  @Suite(.serialized, .timeLimit(.minutes(2))) struct DiallerTests {
    @Test("an allowed caller's bytes go through mutual TLS and come back")
    func allowed() async throws {
      let stage = try await Stage()
      let instance = try await stage.instance
      try await stage.dialling(as: .ingest) { dialler in
        let client = try await EchoClient.connect(dialler, to: instance, on: stage.group.next())
        #expect(await client.exchange("hello"))
        #expect(dialler.openCount == 1)
        client.close()
        #expect(await eventually { dialler.openCount == 0 })
      }
    }

    @Test(
      "whom no intention allows is refused before the service sees a byte, also by the sidecar alone", arguments: [true, false])
    func denied(_ asksFirst: Bool) async throws {
      let stage = try await Stage(.compute)
      let instance = try await stage.instance
      try await stage.dialling(as: .ingest) { dialler in
        #expect(await eventually { !dialler.isAllowed })
        if !asksFirst { dialler.set(allowed: true) }
        do {
          let client = try await EchoClient.connect(dialler, to: instance, on: stage.group.next())
          #expect(!asksFirst)
          #expect(await !client.exchange("hello"))
          let error = try #require(client.error as? MeshError)
          #expect(error.code == .refused)
        } catch let error as MeshError {
          #expect(error.code == .refused)
        }
      }
      #expect(stage.echo.bytesReceived == 0)
    }

    @Test("a peer that is of the mesh, but not the service dialled, is refused")
    func otherService() async throws {
      let stage = try await Stage(.compute)
      let instance = try await stage.instance
      let diallers = MeshDiallers(of: .query, to: [.log], client: stage.client, logger: stage.logger)
      let running = Task { await diallers.run() }
      defer { running.cancel() }
      await diallers.waitUntilReady()
      await #expect {
        _ = try await EchoClient.connect(diallers.dialler(to: .log), to: instance, on: stage.group.next())
      } throws: {
        let error = $0 as? MeshError
        return error?.code == .refused && error?.detail.contains("svc/penstock-compute") == true
      }
      #expect(stage.echo.bytesReceived == 0)
    }

    @Test("the service's instances are found, with what they say of themselves, and a list that changed wakes who waits")
    func discovery() async throws {
      let stage = try await Stage()
      try await stage.dialling(as: .ingest) { dialler in
        #expect(await eventually { dialler.instances.instances.map(\.id) == ["penstock-log-1"] })
        let list = dialler.instances
        #expect(list.instances[0].port == stage.sidecarPort && list.instances[0].metadata == ["version": "1"])
        let woken = Task { await dialler.waitForChange(from: list.version) }
        await stage.registration.leave()
        await woken.value
        #expect(await eventually { dialler.instances.instances == [] })
      }
    }

    @Test("with ACLs on, each service's least policy is enough, and another's certificate is refused")
    func accessControl() async throws {
      let stage = try await Stage(acls: true)
      let callers = try await stage.client(of: .ingest)
      let diallers = MeshDiallers(of: .ingest, to: [.log], client: callers, logger: stage.logger)
      let running = Task { await diallers.run() }
      defer { running.cancel() }
      await diallers.waitUntilReady()
      let dialler = diallers.dialler(to: .log)
      #expect(await eventually { dialler.instances.instances.count == 1 })
      let instance = try #require(dialler.instances.instances.first)
      let client = try await EchoClient.connect(dialler, to: instance, on: stage.group.next())
      #expect(await client.exchange("hello"))

      for request in [
        ConsulRequest(path: "/v1/agent/connect/ca/leaf/penstock-query"),
        ConsulRequest(path: "/v1/agent/connect/ca/leaf/penstock-log"),
        ConsulRequest(method: .PUT, path: "/v1/kv/penstock/compute/partitions/0"),
      ] { await #expect { _ = try await callers.send(request) } throws: { ($0 as? ConsulError)?.code == .forbidden } }
      // The right to ask for intentions comes with reading the service: a withdrawn one is seen.
      try await stage.consul.run(["intention", "delete", "penstock-ingest", "penstock-log"])
      #expect(await eventually { client.isClosed })

      let worker = try await stage.client(of: .compute)
      try await worker.register(
        ServiceDefinition(
          id: "compute-a", service: .compute, address: "127.0.0.1", port: 9, sidecarPort: 9, lifeSignEvery: .seconds(2)))
      let session = try await worker.createSession(name: "a", check: "live-compute-a", lockDelay: .seconds(1))
      let lock = KVOperation(verb: .lock, key: "penstock/compute/partitions/0", value: "a", session: session)
      #expect(try await worker.transact([lock]) != nil)
    }

    @Test("plain text on the sidecar's port reaches nobody")
    func plainText() async throws {
      let stage = try await Stage()
      let instance = try await stage.instance
      let channel = try await ClientBootstrap(group: stage.group).connect(host: instance.host, port: instance.port).get()
      channel.writeAndFlush(ByteBuffer(string: "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), promise: nil)
      try await channel.closeFuture.get()
      #expect(stage.echo.bytesReceived == 0)
    }

    @Test("a peer that speaks no TLS is an error in time")
    func silentPeer() async throws {
      let stage = try await Stage()
      var instance = try await stage.instance
      // A listener that never answers: the echo would, but not with TLS.
      instance.port = stage.echo.port
      let silent = instance
      try await stage.dialling(as: .ingest) { dialler in
        await #expect(throws: MeshError.self) {
          _ = try await EchoClient.connect(dialler, to: silent, on: stage.group.next())
        }
      }
      var gone = instance
      gone.port = try freePorts(1)[0]
      let nobody = gone
      try await stage.dialling(as: .ingest) { dialler in
        await #expect {
          _ = try await EchoClient.connect(dialler, to: nobody, on: stage.group.next())
        } throws: { ($0 as? MeshError)?.code == .unreachable }
      }
    }

    @Test("an intention withdrawn ends open connections, and one given again lets new ones in")
    func withdrawn() async throws {
      let stage = try await Stage()
      let instance = try await stage.instance
      try await stage.dialling(as: .ingest) { dialler in
        let client = try await EchoClient.connect(dialler, to: instance, on: stage.group.next())
        #expect(await client.exchange("hello"))
        try await stage.consul.run(["intention", "delete", "penstock-ingest", "penstock-log"])
        #expect(await eventually { client.isClosed })
        #expect((client.error as? MeshError)?.code == .refused)
        await #expect(throws: MeshError.self) {
          _ = try await EchoClient.connect(dialler, to: instance, on: stage.group.next())
        }
        try await stage.consul.run(["intention", "create", "-allow", "penstock-ingest", "penstock-log"])
        #expect(await eventually { dialler.isAllowed })
        let again = try await EchoClient.connect(dialler, to: instance, on: stage.group.next())
        #expect(await again.exchange("hello again"))
      }
    }

    @Test("the authority's rotation under load fails no request, on new connections and open ones")
    func rotation() async throws {
      let stage = try await Stage()
      let instance = try await stage.instance
      try await stage.dialling(as: .ingest) { dialler in
        let pooled = try await EchoClient.connect(dialler, to: instance, on: stage.group.next())
        let rootsBefore = try await stage.consul.run(["connect", "ca", "get-config"])
        let key = P256.Signing.PrivateKey().pemRepresentation
        let config: [String: Any] = [
          "Provider": "consul",
          "Config": [
            "PrivateKey": key, "RootCert": "", "RotationPeriod": "2160h", "LeafCertTTL": "72h", "IntermediateCertTTL": "8760h",
          ],
        ]
        let file = FileManager.default.temporaryDirectory.appendingPathComponent("ca-\(UUID().uuidString).json")
        try JSONSerialization.data(withJSONObject: config).write(to: file)
        defer { try? FileManager.default.removeItem(at: file) }

        let serial = dialler.certificateSerial
        var failed: [String] = []
        var served = 0
        var isRotated = false
        // Until the leaf in use is one that the new root signed; Consul spreads that over some 15 seconds.
        let end = ContinuousClock.now + .seconds(60)
        while ContinuousClock.now < end, !isRotated || dialler.certificateSerial == serial {
          if served == 20, !isRotated {
            try await stage.consul.run(["connect", "ca", "set-config", "-config-file=\(file.path)"])
            isRotated = true
          }
          if await !pooled.exchange("pooled") { failed.append("pooled: \(String(describing: pooled.error))") }
          do {
            let fresh = try await EchoClient.connect(dialler, to: instance, on: stage.group.next())
            if await !fresh.exchange("fresh") { failed.append("fresh: \(String(describing: fresh.error))") }
            fresh.close()
          } catch { failed.append("\(error)") }
          served += 1
          if !failed.isEmpty { break }
        }
        #expect(failed == [], "of \(served)")
        #expect(dialler.certificateSerial != serial, "the leaf was not renewed: \(rootsBefore)")
        let after = try await EchoClient.connect(dialler, to: instance, on: stage.group.next())
        #expect(await after.exchange("after"))
      }
    }
  }
#endif
