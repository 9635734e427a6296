#if Secure
  import Crypto
  import Events
  import Serving
  import Synchronization
  import Testing

  @testable import Identity

  @Suite struct TokenTests {
    let maker = TokenMaker()

    @Test("a token signed with each algorithm is taken, with a kid and without")
    func taken() throws {
      let access = try maker.access()
      let signers: [(String, String, TokenMaker.Signer)] = [
        ("ES256", "ec", .es256), ("EdDSA", "ed", .edDSA), ("HS256", "hs", .hs256),
      ]
      for (algorithm, id, signer) in signers {
        for header in [["alg": .string(algorithm), "kid": .string(id)], ["alg": .string(algorithm)]] as [JSONValue] {
          let caller = try access.authenticate(bearer: try maker.token(maker.claims(), header: header, signer)[...])
          #expect(caller.subject == "station/EWR")
          #expect(caller.scopes == [.ingest])
          #expect(caller.sources.permits("station/EWR"))
          #expect(!caller.sources.permits("station/JFK"))
        }
      }
    }

    @Test("the algorithm none is refused, however it is spelled, signed or not")
    func none() throws {
      let access = try maker.access()
      for algorithm in ["none", "None", "NONE", "nOnE", ""] {
        let header: JSONValue = ["alg": .string(algorithm), "typ": .string("JWT")]
        for signer in [TokenMaker.Signer.none, .es256, .hs256] {
          let token = try maker.token(maker.claims(), header: header, signer)
          #expect(access.denial(token) != nil, "\(algorithm) \(signer)")
        }
      }
    }

    @Test("a public key does not serve as an HMAC secret, nor a key for another algorithm")
    func swapped() throws {
      let access = try maker.access()
      let publicForms: [[UInt8]] = [
        Array(maker.ec.publicKey.x963Representation), Array(maker.ec.publicKey.rawRepresentation),
        Array(maker.ec.publicKey.pemRepresentation.utf8), Array(maker.ec.publicKey.derRepresentation),
        Array(maker.ed.publicKey.rawRepresentation),
      ]
      for key in publicForms {
        for id in ["ec", "ed", "hs"] {
          let token = try maker.token(maker.claims(), header: ["alg": .string("HS256"), "kid": .string(id)], .with(key))
          #expect(access.denial(token) != nil)
        }
      }
      for (algorithm, signer) in [("EdDSA", TokenMaker.Signer.es256), ("ES256", .edDSA), ("HS256", .es256), ("ES256", .hs256)] {
        #expect(
          access.denial(try maker.token(maker.claims(), header: ["alg": .string(algorithm)], signer)) != nil, "\(algorithm)")
      }
      // A right signature under the kid of another key.
      #expect(
        access.denial(try maker.token(maker.claims(), header: ["alg": .string("ES256"), "kid": .string("ed")], .es256)) != nil)
      for algorithm in ["ES384", "RS256", "PS256", "HS512", "es256"] {
        #expect(
          access.denial(try maker.token(maker.claims(), header: ["alg": .string(algorithm)], .es256)) != nil, "\(algorithm)")
      }
    }

    @Test("a token with any one character changed is refused")
    func forged() throws {
      let access = try maker.access()
      let token = try maker.token()
      let bytes = Array(token.utf8)
      for at in bytes.indices {
        var changed = bytes
        changed[at] = bytes[at] == UInt8(ascii: "A") ? UInt8(ascii: "B") : UInt8(ascii: "A")
        #expect(access.denial(String(decoding: changed, as: UTF8.self)) != nil, "character \(at)")
      }
      for count in bytes.indices {
        #expect(access.denial(String(decoding: bytes[..<count], as: UTF8.self)) != nil, "cut at \(count)")
      }
      #expect(access.denial(token) == nil)
    }

    @Test("a token of a key that is not known asks for a newer set; one that is forged under a known kid does not")
    func otherKey() async throws {
      func asks(_ signer: TokenMaker, kid: String?) async throws -> Bool {
        var access: TokenAccess? = try maker.access()
        let unknown = try #require(access).unknownKeys
        var header = JSONObject()
        header["alg"] = .string("ES256")
        if let kid { header["kid"] = .string(kid) }
        #expect(try access?.denial(signer.token(maker.claims(), header: .object(header), .es256)) != nil)
        access = nil
        for await _ in unknown { return true }
        return false
      }
      #expect(try await !asks(TokenMaker(), kid: "ec"))
      #expect(try await asks(maker, kid: "newer"))
      #expect(try await asks(TokenMaker(), kid: nil))
    }

    @Test("a token serves until its expiry and the leeway are over, for requests and connections alike")
    func leeway() throws {
      let access = try maker.access(rules: ClaimRules(audience: "penstock", leeway: .seconds(30)))
      let now = TokenMaker.now.nanoseconds / 1_000_000_000
      let caller = try access.authenticate(bearer: try maker.token(["exp": .int(now - 10)])[...])
      #expect(caller.expiry == Timestamp(nanoseconds: (now + 20) * 1_000_000_000))
    }

    @Test("expired, early, unending, for others: refused")
    func claims() throws {
      let access = try maker.access(rules: ClaimRules(audience: "penstock", issuer: "https://issuer.test", leeway: .seconds(30)))
      let now = TokenMaker.now.nanoseconds / 1_000_000_000
      func denial(_ changes: JSONValue) throws -> AccessDenial? {
        var changes = changes
        if case .object(var members) = changes, members["iss"] == nil {
          members["iss"] = .string("https://issuer.test")
          changes = .object(members)
        }
        return access.denial(try maker.token(changes))
      }
      #expect(try denial([:]) == nil)
      #expect(try denial(["exp": .int(now - 29)]) == nil)
      #expect(try denial(["exp": .int(now - 30)]) == .expired)
      #expect(try denial(["exp": .int(now - 86_400)]) == .expired)
      #expect(try denial(["exp": .null]) != nil)
      #expect(try denial(["exp": .string("\(now + 60)")]) != nil)
      #expect(try denial(["exp": .double(1e300)]) != nil)
      #expect(try denial(["exp": .int(.max)]) != nil)
      #expect(try denial(["nbf": .int(now + 30)]) == nil)
      #expect(try denial(["nbf": .int(now + 31)]) != nil)
      #expect(try denial(["aud": .string("billing")]) == .invalid(reason: "it is for another audience ('aud')"))
      #expect(try denial(["aud": .array([.string("billing"), .string("penstock")])]) == nil)
      #expect(try denial(["aud": .null]) != nil)
      #expect(try denial(["iss": .string("https://other.test")]) == .invalid(reason: "it is of another issuer ('iss')"))
      #expect(try denial(["sub": .null]) != nil)
      #expect(try denial(["sub": .string("")]) != nil)
    }

    @Test("critical headers that nobody here knows are refused")
    func critical() throws {
      let header: JSONValue = [
        "alg": .string("ES256"), "kid": .string("ec"), "crit": .array([.string("b64")]), "b64": .bool(false),
      ]
      #expect(try maker.access().denial(try maker.token(maker.claims(), header: header, .es256)) != nil)
    }

    @Test("scopes and sources follow the claims")
    func permissions() throws {
      let access = try maker.access()
      func caller(_ changes: JSONValue) throws -> Caller { try access.authenticate(bearer: try maker.token(changes)[...]) }
      #expect(try caller(["scope": .string("query openid")]).scopes == [.query])
      #expect(try caller(["scopes": .array([.string("ingest"), .string("admin")])]).scopes == [.ingest, .admin])
      #expect(try caller(["scp": .array([.string("query")])]).scopes == [.query])
      #expect(try caller(["scope": .string("")]).scopes == [])
      #expect(try caller(["scope": .string("admin")]).may(.query))
      #expect(try !caller(["scope": .string("query")]).may(.admin))
      #expect(try !caller(["scope": .string("query")]).may(.ingest))

      let gateway = try caller(["sources": .array([.string("gw/1/*"), .string("door")])])
      for (source, isPermitted) in [
        ("gw/1/a", true), ("gw/1/", true), ("gw/1", false), ("gw/2/a", false), ("door", true), ("doors", false),
      ] {
        #expect(gateway.sources.permits(source) == isPermitted, "\(source)")
      }
      #expect(try !caller(["sources": .array([])]).sources.permits("station/EWR"))
      // A star that is part of a name is no pattern.
      #expect(try !caller(["sub": .string("*")]).sources.permits("station/EWR"))
      #expect(try caller(["sub": .string("*")]).sources.permits("*"))
      #expect(try caller(["events_per_second": .int(50)]).eventsPerSecondMax == 50)
    }

    @Test("a remembered token is judged by the clock each time, and forgotten with its key")
    func remembered() throws {
      let now = Mutex(TokenMaker.now)
      let access = try maker.access(now: { now.withLock { $0 } })
      let token = try maker.token()
      #expect(access.denial(token) == nil)
      #expect(access.denial(token) == nil)
      now.withLock { $0 = Timestamp(nanoseconds: $0.nanoseconds + 3_631_000_000_000) }
      #expect(access.denial(token) == .expired)
      now.withLock { $0 = TokenMaker.now }
      #expect(access.denial(token) == nil)
      access.replace(keys: try KeySet(json: Array(TokenMaker().keySet.text.utf8), isPublic: false))
      #expect(access.denial(token) != nil)
    }

    @Test("a key that does not serve is left out with its reason, and the others serve")
    func keySets() throws {
      let shared = try KeySet(json: Array(maker.keySet.text.utf8), isPublic: true)
      #expect(shared.keys.compactMap(\.id) == ["ec", "ed"], "a secret that all can read is none")
      #expect(shared.notices == ["key 'hs' is left out: it is a secret, and a set at a URL may hold public keys only"])
      guard case .array(let good)? = maker.keySet["keys"] else { return }
      for bad in [
        #"{"kty":"oct","kid":"short","k":"c2hvcnQ"}"#, #"{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}"#,
        #"{"kty":"OKP","crv":"Ed25519","x":"AA"}"#, #"{"kty":"RSA","n":"AQAB","e":"AQAB"}"#,
        #"{"kty":"EC","crv":"P-384","x":"","y":""}"#,
        #"{"kty":"oct","use":"enc","k":"c2hvcnQ"}"#, "7",
      ] {
        let json: JSONValue = ["keys": .array([try JSONValue(parsing: bad)] + good)]
        let set = try KeySet(json: Array(json.text.utf8), isPublic: false)
        #expect(set.keys.count == 3 && set.notices.count == 1, "\(bad)")
      }
      for wrong in ["", "[]", #"{"keys":{}}"#] {
        #expect(throws: KeyFileError.self) { try KeySet(json: Array(wrong.utf8), isPublic: false) }
      }
    }

    @Test("static tokens are taken as they are, and no other")
    func staticTokens() throws {
      let file = """
        # operators
        {"token":"0123456789abcdef","subject":"alice","scopes":["query","admin"]}

        {"token":"fedcba9876543210","subject":"station/EWR","events_per_second":10}
        """
      let access = try maker.access(tokens: file)
      #expect(try access.authenticate(bearer: "0123456789abcdef").scopes == [.query, .admin])
      let device = try access.authenticate(bearer: "fedcba9876543210")
      #expect(device.scopes == [.ingest])
      #expect(device.sources.permits("station/EWR"))
      #expect(device.eventsPerSecondMax == 10)
      for wrong in ["0123456789abcde", "0123456789abcdef0", "0123456789abcdeg", ""] { #expect(access.denial(wrong) != nil) }
      // Whoever was let in is told to ask again, as long as he listens.
      final class Changes: Sendable { let count = Atomic<Int>(0) }
      let changes = Changes()
      var observation: AccessObservation? = AccessGate(access).observe { changes.count.add(1, ordering: .relaxed) }
      let standing = try #require(
        StandingAccess(
          AccessGate(access), try access.authenticate(bearer: "0123456789abcdef"), authorization: ["Bearer 0123456789abcdef"],
          scope: .query))
      #expect(standing.denial == nil)
      access.replace(tokens: StaticTokens())
      #expect(access.denial("0123456789abcdef") != nil)
      #expect(standing.denial != nil && changes.count.load(ordering: .relaxed) == 1)
      access.replace(keys: KeySet())
      #expect(observation != nil && changes.count.load(ordering: .relaxed) == 2)
      observation = nil
      access.replace(keys: KeySet())
      #expect(changes.count.load(ordering: .relaxed) == 2)
    }

    @Test("what is wrong with a file of tokens is told by its line, without the token")
    func wrongTokenFiles() throws {
      let wrong = [
        #"{"token":"short","subject":"a"}"#, #"{"token":"0123456789SECRET"}"#,
        #"{"token":"0123456789SECRET","subject":"a","scope":["query"]}"#,
        #"{"token":"0123456789SECRET","subject":"a","scopes":["root"]}"#, #"{"token":"0123456789SECRET","subject":"a""#,
        #"{"token":"0123456789SECRET","subject":"a","sources":"x"}"#, "0123456789SECRET",
      ]
      for line in wrong {
        do {
          _ = try StaticTokens(text: "# one\n" + line)
          Issue.record("taken: \(line)")
        } catch {
          #expect(error.description.contains("line 2"))
          #expect(!error.description.contains("SECRET"))
        }
      }
    }
  }
#endif
