"""`ca:`: a function trusts a private certificate authority, in each language, without a word in its code."""

from __future__ import annotations

import datetime
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from tests.faults import rig

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

# Each serves itself over TLS, and asks itself: what matters is whether the answer is believed.
NODE = """
const fs = require('fs'), https = require('https');
const pair = { key: fs.readFileSync('key.pem'), cert: fs.readFileSync('cert.pem') };
const server = https.createServer(pair, (q, r) => r.end('believed'));
const listening = new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
exports.handler = async () => {
  await listening;
  const answer = await fetch(`https://localhost:${server.address().port}/`).catch((error) => error.cause);
  return answer.code ?? answer.text();
};
"""
PYTHON = """
import http.server, ssl, threading, urllib.error, urllib.request

class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"believed")

server = http.server.HTTPServer(("127.0.0.1", 0), Answers)
context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
context.load_cert_chain("cert.pem", "key.pem")
server.socket = context.wrap_socket(server.socket, server_side=True)

def handler(event, context):
    threading.Thread(target=server.handle_request, daemon=True).start()
    try:
        return urllib.request.urlopen(f"https://localhost:{server.server_port}/", timeout=10).read().decode()
    except urllib.error.URLError as error:
        return type(error.reason).__name__
"""
FILE = """\
functions:
  node: {path: f, runtime: node24, handler: n.handler, contract: event, ca: ./company.pem}
  node-without: {path: f, runtime: node24, handler: n.handler, contract: event}
  python: {path: f, runtime: python3.13, handler: p.handler, contract: event, ca: ./company.pem}
  python-without: {path: f, runtime: python3.13, handler: p.handler, contract: event}
"""


def test_a_private_authority_is_trusted_where_it_is_named(tmp_path: Path) -> None:
    folder = tmp_path / "shop"
    (folder / "f").mkdir(parents=True)
    authority(folder)
    (folder / "f/n.js").write_text(NODE)
    (folder / "f/p.py").write_text(PYTHON)
    (folder / "fnctl.yaml").write_text(FILE)
    with rig.desk(folder, apart=True) as desk, rig.running(desk, warm=2) as fnctl:
        for name in ("node", "python"):
            assert fnctl.call(name).body == b"believed"
        assert fnctl.call("node-without").body != b"believed"
        assert fnctl.call("python-without").body == b"SSLCertVerificationError"
        fnctl.stop()


def authority(folder: Path) -> None:
    """company.pem, and in f/ a key and a certificate for localhost that it has signed."""
    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in ("Company CA", "localhost")]
    made = []
    for key, name, is_authority in zip(keys, names, (True, False), strict=True):
        builder = (
            x509.CertificateBuilder()
            .subject_name(name).issuer_name(names[0]).public_key(key.public_key())
            .serial_number(x509.random_serial_number())
            .not_valid_before(now - datetime.timedelta(days=1)).not_valid_after(now + datetime.timedelta(days=1))
            .add_extension(x509.BasicConstraints(ca=is_authority, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(keys[0].public_key()), critical=False)
            .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
            .add_extension(x509.KeyUsage(True, False, False, False, False, is_authority, is_authority, False, False),
                           critical=True)
        )  # fmt: skip
        made.append(builder.sign(keys[0], hashes.SHA256()))
    pem = serialization.Encoding.PEM
    (folder / "company.pem").write_bytes(made[0].public_bytes(pem))
    (folder / "f/cert.pem").write_bytes(made[1].public_bytes(pem))
    (folder / "f/key.pem").write_bytes(
        keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
