"""Tokens and TLS as seen from outside: tokens are made by PyJWT, certificates by cryptography, for each run anew."""

import base64
import datetime
import http.client
import http.server
import ipaddress
import json
import pathlib
import socket
import ssl
import subprocess
import threading
import time

import jwt
import pytest
from conftest import BUILD, DEADLINE, Penstock, event, eventually, receive, wait_for_ack
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, ed25519
from cryptography.x509.oid import NameOID
from websockets.exceptions import ConnectionClosed, InvalidStatus

SECRET = "a secret of the tests, more than 32 bytes long"
OPERATOR = "operator-token-0123456789"
ANALYST = "analyst-token-0123456789"


def url64(data):
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


class Issuer:
    def __init__(self):
        self.ec = ec.generate_private_key(ec.SECP256R1())
        self.ed = ed25519.Ed25519PrivateKey.generate()

    def jwks(self):
        point = self.ec.public_key().public_numbers()
        raw = self.ed.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)
        return {
            "keys": [
                {"kty": "EC", "crv": "P-256", "kid": "ec", "x": url64(point.x.to_bytes(32, "big")), "y": url64(point.y.to_bytes(32, "big"))},
                {"kty": "OKP", "crv": "Ed25519", "kid": "ed", "x": url64(raw)},
            ]
        }

    def token(self, subject="station/A", algorithm="ES256", **claims):
        payload = {"sub": subject, "aud": "penstock", "exp": time.time() + 600, **claims}
        key, kid = {"ES256": (self.ec, "ec"), "EdDSA": (self.ed, "ed"), "HS256": (SECRET, None)}[algorithm]
        return jwt.encode({name: value for name, value in payload.items() if value is not None}, key, algorithm, {"kid": kid} if kid else None)


class Guarded(Penstock):
    """With tokens, and on request with TLS."""

    def __init__(self, folder, *settings):
        # For its own questions: what clients show where TLS is spoken.
        self.context = None
        if any(setting.startswith("tls.") for setting in settings):
            self.context = ssl.create_default_context(cafile=str(folder / "ca.pem"))
            if any(setting.startswith("tls.client_ca=") for setting in settings):
                self.context.load_cert_chain(folder / "client.pem", folder / "client.key")
        self.issuer = Issuer()
        (folder / "jwks.json").write_text(json.dumps(self.issuer.jwks()))
        (folder / "secret").write_text(SECRET + "\n")
        (folder / "tokens").write_text(
            json.dumps({"token": OPERATOR, "subject": "operator", "scopes": ["admin", "ingest"], "sources": ["*"]})
            + "\n"
            + json.dumps({"token": ANALYST, "subject": "analyst", "scopes": ["query"]})
            + "\n"
        )
        super().__init__(folder, f"auth.jwks={folder}/jwks.json", f"auth.tokens={folder}/tokens", *settings)

    def request(self, service, method, path, token=None, body=None, context=None):
        """Status, headers and body."""
        if context:
            connection = http.client.HTTPSConnection("127.0.0.1", self.ports[service], timeout=DEADLINE, context=context)
        else:
            connection = http.client.HTTPConnection("127.0.0.1", self.ports[service], timeout=DEADLINE)
        headers = {"Authorization": f"Bearer {token}"} if token else {}
        if body is not None:
            headers["Content-Type"] = "application/json"
            body = json.dumps(body)
        connection.request(method, path, body, headers)
        answer = connection.getresponse()
        result = answer.status, dict(answer.getheaders()), answer.read().decode()
        connection.close()
        return result

    def ask_ledger(self):
        status, _, body = self.request("query", "GET", "/v1/ledger", ANALYST, context=self.context)
        assert status == 200, body
        return json.loads(body)

    def post(self, token, *events, **options):
        return self.request("ingest", "POST", "/v1/events", token, list(events), **options)

    def stream(self, token, path="/v1/stream"):
        return self.connect(path, additional_headers={"Authorization": f"Bearer {token}"} if token else {})


@pytest.fixture(scope="module")
def guarded(tmp_path_factory):
    import os

    folder = tmp_path_factory.mktemp("guarded")
    os.environ["PENSTOCK_AUTH__HS256_SECRET_FILE"] = str(folder / "secret")
    try:
        service = Guarded(folder)
    finally:
        del os.environ["PENSTOCK_AUTH__HS256_SECRET_FILE"]
    yield service
    assert service.stop() == 0, "".join(service.lines)
    said = "".join(service.lines)
    for secret in (SECRET, OPERATOR, ANALYST, "Bearer ey"):
        assert secret not in said, "a secret is in the log"


@pytest.mark.parametrize("algorithm", ["ES256", "EdDSA", "HS256"])
def test_a_device_writes_as_itself(guarded, algorithm):
    status, _, body = guarded.post(guarded.issuer.token(algorithm=algorithm), event("station/A"))
    assert status == 200 and json.loads(body)["appended"] == 1, body


def test_tokens_that_are_refused(guarded):
    issuer = guarded.issuer
    good = issuer.token()
    header, payload, signature = good.split(".")
    none = url64(b'{"alg":"none"}') + "." + payload + "."
    public = issuer.ec.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    import hashlib
    import hmac

    confused = url64(b'{"alg":"HS256","kid":"ec"}') + "." + payload
    confused += "." + url64(hmac.new(public, confused.encode(), hashlib.sha256).digest())
    wrong = {
        "expired": issuer.token(exp=time.time() - 30),
        "unending": issuer.token(exp=None),
        "early": issuer.token(nbf=time.time() + 60),
        "audience": issuer.token(aud="another"),
        "none": none,
        "confused": confused,
        "forged": Issuer().token(),
        "cut": header + "." + payload,
        "guess": "0123456789abcdef0123456789abcdef",
    }
    for name, token in wrong.items():
        status, headers, body = guarded.post(token, event("station/A"))
        assert status == 401, name
        assert headers["Content-Type"] == "application/problem+json"
        assert headers["WWW-Authenticate"].startswith('Bearer realm="penstock", error="invalid_token"'), name
        assert json.loads(body)["code"] == ("token_expired" if name == "expired" else "token_invalid"), name
        assert token not in body
        with pytest.raises(InvalidStatus) as refused:
            guarded.stream(token)
        assert refused.value.response.status_code == 401, name
    status, headers, body = guarded.post(None, event("station/A"))
    assert status == 401 and json.loads(body)["code"] == "token_missing"
    assert headers["WWW-Authenticate"] == 'Bearer realm="penstock"'


def test_a_device_that_writes_as_another(guarded):
    token = guarded.issuer.token("station/B")
    status, _, body = guarded.post(token, event("station/B"), event("station/C"))
    assert status == 200
    assert [one["code"] for one in json.loads(body)["rejected"]] == ["forbidden_source"]
    status, headers, body = guarded.post(token, event("station/C"))
    assert status == 403 and json.loads(body)["code"] == "forbidden_source"
    with guarded.stream(token) as ws:
        receive(ws, "welcome")
        ws.send(json.dumps([event("station/B"), event("station/C")]))
        rejects = []
        ack = wait_for_ack(ws, 1, rejects)
        assert (ack["appended"], ack["rejected"]) == (1, 1)
        assert [(one["event"], one["code"]) for one in rejects] == [(1, "forbidden_source")]
    # Where another's source is, is not told either.
    with pytest.raises(InvalidStatus) as refused:
        guarded.stream(token, "/v1/stream?source=station/C")
    assert refused.value.response.status_code == 403


def test_a_gateway_writes_as_its_sources(guarded):
    token = guarded.issuer.token("gateway/1", sources=["gateway/1/*", "door"])
    status, _, body = guarded.post(token, event("gateway/1/a"), event("door"), event("gateway/1"), event("gateway/2/a"))
    answer = json.loads(body)
    assert (status, answer["appended"], [one["event"] for one in answer["rejected"]]) == (200, 2, [2, 3])


def test_a_connection_ends_with_its_token(guarded):
    with guarded.stream(guarded.issuer.token("station/E", exp=time.time() + 1.5)) as ws:
        receive(ws, "welcome")
        ws.send(json.dumps(event("station/E")))
        wait_for_ack(ws, 1)
        with pytest.raises(ConnectionClosed) as closed:
            ws.recv(timeout=DEADLINE)
        assert closed.value.rcvd.code == 4001


def test_scopes_of_analysts(guarded):
    device = guarded.issuer.token()
    for path in ("/v1/views", "/v1/views/weather_daily", "/v1/events", "/metrics"):
        assert guarded.request("query", "GET", path)[0] == 401, path
        status, headers, body = guarded.request("query", "GET", path, device)
        assert status == 403 and json.loads(body)["code"] == "scope_missing", path
        assert 'error="insufficient_scope", scope="query"' in headers["WWW-Authenticate"]
        for token in (ANALYST, OPERATOR, guarded.issuer.token("bob", scope="query")):
            assert guarded.request("query", "GET", path, token)[0] == 200, path
    for path in ("/livez", "/readyz", "/openapi.json", "/"):
        assert guarded.request("query", "GET", path)[0] == 200, path
    assert guarded.post(ANALYST, event("analyst"))[0] == 403
    assert guarded.request("ingest", "GET", "/metrics")[0] == 401
    assert guarded.request("ingest", "GET", "/livez")[0] == 200


def test_a_device_is_held_to_its_rate(guarded):
    # So many that the next request is too early on a slow machine, too.
    token = guarded.issuer.token("station/R", events_per_second=10)
    assert guarded.post(token, *[event("station/R") for _ in range(400)])[0] == 200
    status, headers, body = guarded.post(token, event("station/R"))
    assert status == 429 and json.loads(body)["code"] == "rate_limited"
    assert 1 <= int(headers["Retry-After"]) <= 40
    # A stream is not closed, and not read until the rate allows it.
    with guarded.stream(guarded.issuer.token("station/S", events_per_second=20)) as ws:
        receive(ws, "welcome")
        started = time.monotonic()
        for _ in range(4):
            ws.send(json.dumps([event("station/S") for _ in range(20)]))
        assert wait_for_ack(ws, 4)["appended"] == 80
        assert time.monotonic() - started > 1.5, "80 events at 20 a second, a second's worth at once"


def free_standing_issuer(keys):
    """Serves a set of keys that can be changed, and counts how often it is asked."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_GET(self):
            server.asked.append(time.monotonic())
            body = json.dumps({"keys": server.keys}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_):
            pass

    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.keys, server.asked = keys, []
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


def test_a_key_that_is_new_at_the_issuer_is_fetched_at_once(tmp_path):
    issuer = Issuer()
    first, second = issuer.jwks()["keys"]
    short = {"kty": "oct", "kid": "short", "k": "c2hvcnQ"}
    server = free_standing_issuer([short, first])
    service = Guarded(tmp_path, f"auth.jwks=http://127.0.0.1:{server.server_port}/jwks")
    try:
        assert service.post(issuer.token(), event("station/A"))[0] == 200, "one bad key does not cost the others"
        assert any("key 'short' is left out" in line for line in service.lines)
        server.keys = [first, second]
        device = issuer.token(algorithm="EdDSA")
        asked = len(server.asked)
        started = time.monotonic()
        assert service.post(device, event("station/A"))[0] == 401
        eventually(lambda: service.post(device, event("station/A"))[0] == 200)
        # The next regular fetch came 20 s later at the soonest.
        assert time.monotonic() - started < 15
        assert len(server.asked) == asked + 1
        # Tokens of keys that nobody has do not make it ask more often than every five seconds.
        other = Issuer()
        deadline = time.monotonic() + DEADLINE
        while len(server.asked) < asked + 3:
            assert time.monotonic() < deadline
            assert service.post(jwt.encode({"sub": "x"}, other.ec, "ES256", {"kid": "nobody's"}), event("x"))[0] == 401
        gaps = [b - a for a, b in zip(server.asked[asked:], server.asked[asked + 1 :])]
        # As the issuer sees them: one request may have been longer on its way than the next.
        assert sum(gaps) >= 9 and min(gaps) >= 3
    finally:
        assert service.stop() == 0
        server.shutdown()


def test_a_token_within_the_leeway_of_its_expiry_opens_a_stream_that_stays(tmp_path):
    service = Guarded(tmp_path, "auth.leeway=10m")
    try:
        token = service.issuer.token(exp=time.time() - 5)
        assert service.post(token, event("station/A"))[0] == 200
        with service.stream(token) as ws:
            receive(ws, "welcome")
            ws.send(json.dumps(event("station/A")))
            assert wait_for_ack(ws, 1)["appended"] == 1
            assert ws.ping().wait(DEADLINE)
    finally:
        assert service.stop() == 0


def test_tokens_that_are_taken_back(tmp_path):
    service = Guarded(tmp_path, "ingest.heartbeat=200ms")
    try:
        with service.stream(OPERATOR) as ws:
            receive(ws, "welcome")
            (tmp_path / "tokens").write_text(json.dumps({"token": ANALYST, "subject": "analyst", "scopes": ["query"]}) + "\n")
            with pytest.raises(ConnectionClosed) as closed:
                while True:
                    ws.recv(timeout=DEADLINE)
            assert closed.value.rcvd.code == 1008
        assert service.post(OPERATOR, event("x"))[0] == 401
        assert service.request("query", "GET", "/v1/views", ANALYST)[0] == 200
    finally:
        assert service.stop() == 0


def test_slow_requests_are_cut_off(tmp_path):
    service = Guarded(tmp_path, "ingest.request_timeout=500ms", "query.request_timeout=500ms")
    try:
        for name, path in (("ingest", "/v1/events"), ("query", "/v1/views")):
            with socket.create_connection(("127.0.0.1", service.ports[name]), timeout=DEADLINE) as connection:
                connection.sendall(f"GET {path} HTTP/1.1\r\nHost: a\r\n".encode())
                connection.settimeout(0.1)
                deadline = time.monotonic() + 20
                ended = False
                while not ended and time.monotonic() < deadline:
                    try:
                        connection.sendall(b"X")
                        ended = connection.recv(100) == b""
                    except TimeoutError:
                        continue
                    except OSError:
                        ended = True
                assert ended, f"{name}: a byte at a time held the connection"
        # Too many headers, and too large ones.
        for name in ("ingest", "query"):
            for headers in (b"".join(b"X-%d: 1\r\n" % number for number in range(2000)), b"X: " + b"a" * 300_000 + b"\r\n"):
                with socket.create_connection(("127.0.0.1", service.ports[name]), timeout=DEADLINE) as connection:
                    try:
                        connection.sendall(b"GET /livez HTTP/1.1\r\nHost: a\r\n" + headers + b"\r\n")
                        assert b" 200 " not in connection.recv(1000), name
                    except (ConnectionResetError, BrokenPipeError):
                        pass
    finally:
        assert service.stop() == 0


# TLS


class Authority:
    def __init__(self):
        self.key = ec.generate_private_key(ec.SECP256R1())
        self.name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Penstock's tests")])
        self.certificate = self._sign(self.name, self.key.public_key(), True)

    def _sign(self, subject, key, is_authority):
        now = datetime.datetime.now(datetime.timezone.utc)
        builder = (
            x509.CertificateBuilder()
            .subject_name(subject)
            .issuer_name(self.name)
            .public_key(key)
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(minutes=5))
            .not_valid_after(now + datetime.timedelta(hours=1))
            .add_extension(x509.BasicConstraints(is_authority, None), True)
        )
        if not is_authority:
            names = [x509.DNSName("localhost"), x509.IPAddress(ipaddress.ip_address("127.0.0.1"))]
            builder = builder.add_extension(x509.SubjectAlternativeName(names), False)
        return builder.sign(self.key, hashes.SHA256())

    def issue(self, folder, name):
        """Writes a certificate and its key; gives the serial number."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._sign(x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)]), key.public_key(), False)
        (folder / f"{name}.key").write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        )
        (folder / f"{name}.pem").write_bytes(certificate.public_bytes(serialization.Encoding.PEM))
        return certificate.serial_number

    def write(self, path):
        path.write_bytes(self.certificate.public_bytes(serialization.Encoding.PEM))


@pytest.fixture
def secured(tmp_path):
    authority = Authority()
    authority.write(tmp_path / "ca.pem")
    serial = authority.issue(tmp_path, "server")
    service = Guarded(tmp_path, f"tls.certificate={tmp_path}/server.pem", f"tls.key={tmp_path}/server.key")
    service.authority, service.serial = authority, serial
    yield service
    assert service.stop() == 0, "".join(service.lines)


def presented(port, context):
    with socket.create_connection(("127.0.0.1", port), timeout=DEADLINE) as plain, context.wrap_socket(plain, server_hostname="127.0.0.1") as tls:
        return x509.load_der_x509_certificate(tls.getpeercert(True)).serial_number


def test_tls_and_a_new_certificate_without_a_dropped_connection(secured, tmp_path):
    context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
    assert secured.post(OPERATOR, event("tls"), context=context)[0] == 200
    assert secured.request("query", "GET", "/v1/views", ANALYST, context=context)[0] == 200
    with pytest.raises((ConnectionError, http.client.HTTPException)):
        secured.post(OPERATOR, event("plain"))
    from websockets.sync.client import connect

    def stream():
        return connect(
            f"wss://127.0.0.1:{secured.ports['ingest']}/v1/stream", ssl=context, subprotocols=["penstock.v1"], compression=None,
            additional_headers={"Authorization": f"Bearer {OPERATOR}"}, open_timeout=DEADLINE,
        )

    with stream() as ws:
        receive(ws, "welcome")
        # A certificate without its key yet: the one before goes on.
        serial = secured.authority.issue(tmp_path, "server")
        deadline = time.monotonic() + DEADLINE
        for name in ("ingest", "query"):
            while presented(secured.ports[name], context) != serial:
                assert time.monotonic() < deadline, "the new certificate is not presented"
                time.sleep(0.05)
        ws.send(json.dumps(event("tls")))
        assert wait_for_ack(ws, 1)["appended"] == 1


def test_the_commands_speak_tls_and_show_their_token(secured, tmp_path):
    (tmp_path / "token").write_text(OPERATOR + "\n")
    (tmp_path / "events").write_text("".join(json.dumps(event("cli", number)) + "\n" for number in range(1, 301)))
    security = ["--token-file", str(tmp_path / "token"), "--ca-file", str(tmp_path / "ca.pem")]

    def penstock(*arguments):
        return subprocess.run([str(BUILD / "penstock"), *arguments], capture_output=True, text=True, timeout=DEADLINE)

    sent = penstock("send", str(tmp_path / "events"), "--url", f"wss://127.0.0.1:{secured.ports['ingest']}/v1/stream", *security)
    assert sent.returncode == 0, sent.stderr
    url = f"https://localhost:{secured.ports['query']}"
    events = penstock("events", "--source", "cli", "--url", url, *security)
    assert events.returncode == 0 and len(events.stdout.splitlines()) == 300, events.stderr
    assert penstock("view", "list", "--url", url, *security).returncode == 0
    # The same sent by POST.
    for command in (["sql", "SELECT count(*) AS n FROM weather_daily"], ["replay", "weather_daily"], ["view", "verify", "weather_daily"]):
        done = penstock(*command, "--url", url, *security)
        assert done.returncode == 0, (command, done.stderr)
    # Who signed the certificate is not known; no token.
    assert penstock("view", "list", "--url", url, *security[:2]).returncode == 1
    refused = penstock("view", "list", "--url", url, *security[2:])
    assert refused.returncode == 1 and "token_missing" in refused.stderr
    # A token does not leave this machine in plain text.
    leaky = penstock("view", "list", "--url", "http://192.0.2.1:8080", *security)
    assert leaky.returncode == 2 and OPERATOR not in leaky.stderr


def test_clients_certificates_are_demanded(tmp_path):
    authority = Authority()
    authority.write(tmp_path / "ca.pem")
    authority.issue(tmp_path, "server")
    authority.issue(tmp_path, "client")
    service = Guarded(
        tmp_path, f"tls.certificate={tmp_path}/server.pem", f"tls.key={tmp_path}/server.key", f"tls.client_ca={tmp_path}/ca.pem"
    )
    try:
        context = ssl.create_default_context(cafile=str(tmp_path / "ca.pem"))
        with pytest.raises((ssl.SSLError, ConnectionError)):
            service.request("query", "GET", "/livez", context=context)
        context.load_cert_chain(tmp_path / "client.pem", tmp_path / "client.key")
        assert service.request("query", "GET", "/livez", context=context)[0] == 200
        assert service.post(OPERATOR, event("mtls"), context=context)[0] == 200
    finally:
        assert service.stop() == 0


# Starting


def check(*settings, environment=None):
    import os

    arguments = [argument for setting in settings for argument in ("--set", setting)]
    return subprocess.run(
        [str(BUILD / "penstock"), "config", "check", *arguments], capture_output=True, text=True, timeout=DEADLINE,
        env={**os.environ, **(environment or {})},
    )


def test_what_others_can_reach_needs_auth(tmp_path):
    refused = check("ingest.listen=0.0.0.0:4000")
    assert refused.returncode == 2 and "set auth.tokens, auth.jwks or auth.hs256_secret" in refused.stderr
    assert check("ingest.listen=0.0.0.0:4000", "auth.jwks=keys.json").returncode == 0
    assert check("log.listen=0.0.0.0:7000", "auth.jwks=keys.json").returncode == 2


def test_secrets_are_not_shown(tmp_path):
    (tmp_path / "secret").write_text(SECRET)
    shown = check(environment={"PENSTOCK_AUTH__HS256_SECRET_FILE": str(tmp_path / "secret")})
    assert shown.returncode == 0 and "********" in shown.stdout and SECRET not in shown.stdout + shown.stderr
    flag = check(f"auth.hs256_secret={SECRET}")
    assert flag.returncode == 2 and SECRET not in flag.stdout + flag.stderr


@pytest.mark.parametrize("setting", ["auth.jwks", "auth.tokens"])
def test_files_that_are_wrong_are_named(tmp_path, setting):
    path = tmp_path / "wrong"
    path.write_text(SECRET)
    views = pathlib.Path(__file__).resolve().parents[2] / "config" / "views.yaml"
    started = subprocess.run(
        [str(BUILD / "penstock"), "up", "--data", str(tmp_path / "data"), "--views", str(views), "--set", f"{setting}={path}"],
        capture_output=True, text=True, timeout=DEADLINE,
    )
    assert started.returncode == 2, started.stderr
    assert str(path) in started.stderr and SECRET not in started.stderr
