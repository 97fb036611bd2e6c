"""`ca:`: a function trusts a private certificate authority, in each language, without a word in its code."""

from __future__ import annotations

import contextlib
import datetime
import http.server
import ipaddress
import secrets
import ssl
import textwrap
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from fnctl.engine.port import LABEL
from tests.faults import rig
from tests.support.command import docker

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

FILES = {
    "f/n.js": """
        exports.handler = async () => {
          const answer = await fetch(process.env.SHOP).catch((error) => error.cause);
          return answer.code ?? answer.text();
        };
    """,
    "f/p.py": """
        import os, urllib.error, urllib.request

        def handler(event, context):
            try:
                return urllib.request.urlopen(os.environ["SHOP"], timeout=10).read().decode()
            except urllib.error.URLError as error:
                return type(error.reason).__name__
    """,
    "php/shop.php": """
        <?php
        function asked(): string {
            $curl = curl_init(getenv('SHOP'));
            curl_setopt($curl, CURLOPT_RETURNTRANSFER, true);
            $stream = @file_get_contents(getenv('SHOP')) ?: 'stream: refused';
            return (curl_exec($curl) ?: curl_error($curl)) . ', ' . $stream;
        }
    """,
    "php/index.php": """
        <?php require 'shop.php'; echo asked();
    """,
    "php/h.php": """
        <?php require 'shop.php';
        function handler($event, $context) { return asked(); }
    """,
    "go/go.mod": """
        module shop
        go 1.24
    """,
    "go/main.go": """
        package main

        import ("io"; "net/http"; "os")

        func main() {
            http.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
                answer, err := http.Get(os.Getenv("SHOP"))
                if err != nil { io.WriteString(w, err.Error()); return }
                io.Copy(w, answer.Body)
            })
            http.ListenAndServe("127.0.0.1:"+os.Getenv("PORT"), nil)
        }
    """,
}
LANGUAGES = {
    "node": "path: f, runtime: node24, handler: n.handler, contract: event",
    "python": "path: f, runtime: python3.13, handler: p.handler, contract: event",
    "php-page": "path: php, runtime: php8.4, handler: index.php",
    "php-handler": "path: php, runtime: php8.4, handler: h.handler, contract: event",
    "php-command": "path: php, runtime: php8.4, command: php -S 127.0.0.1:$PORT index.php",
    "go": "path: go, runtime: go1.24, handler: main.go",
}
REFUSED = {
    "node": "VERIF",
    "python": "SSLCertVerificationError",
    "php-page": "SSL certificate problem",
    "php-handler": "SSL certificate problem",
    "php-command": "SSL certificate problem",
    "go": "x509: certificate signed by unknown authority",
}


class Answers(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("Content-Length", "8")
        self.end_headers()
        self.wfile.write(b"believed")

    def log_message(self, *words: object) -> None:
        pass


@contextlib.contextmanager
def shop(folder: Path) -> Iterator[str]:
    """A server of this machine that an authority of nobody's has signed, and how sandboxes reach it."""
    network = f"fnctl-test-{secrets.token_hex(4)}"  # for an address of this machine that no other network has
    docker("network", "create", "--label", f"{LABEL}=1", network)
    address = docker("network", "inspect", "-f", "{{(index .IPAM.Config 0).Gateway}}", network).strip()
    authority(folder, address)
    server = http.server.ThreadingHTTPServer((address, 0), Answers)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(folder / "cert.pem", folder / "key.pem")
    server.socket = context.wrap_socket(server.socket, server_side=True, do_handshake_on_connect=False)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    try:
        yield f"https://{address}:{server.server_port}/"
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
        docker("network", "rm", network)


@pytest.fixture(scope="module")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[rig.Running]:
    folder = tmp_path_factory.mktemp("authorities")
    with shop(folder) as url:
        for name, text in FILES.items():
            (folder / name).parent.mkdir(exist_ok=True)
            (folder / name).write_text(textwrap.dedent(text).lstrip())
        common = f"network: egress, egress: {{host: true}}, environment: {{SHOP: {url}}}"
        lines = [
            f"  {name}{'' if ca else '-without'}: {{{code}, {common}{ca}}}"
            for name, code in LANGUAGES.items()
            for ca in (", ca: ./company.pem", "")
        ]
        (folder / "fnctl.yaml").write_text("\n".join(["functions:", *lines, ""]))
        with rig.desk(folder) as desk, rig.running(desk, warm=1) as running:
            yield running
            running.stop()


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_private_authority_is_trusted_where_it_is_named(served: rig.Running, language: str) -> None:
    believed = b"believed, believed" if language.startswith("php") else b"believed"
    assert served.call(language).body == believed
    assert REFUSED[language] in served.call(f"{language}-without").body.decode()


def authority(folder: Path, address: str) -> None:
    """company.pem, and a key and a certificate for this address that it has signed."""
    now = datetime.datetime.now(datetime.UTC)
    keys = [ec.generate_private_key(ec.SECP256R1()) for _ in range(2)]
    names = [x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, each)]) for each in ("Company CA", address)]
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
            .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address(address))]), critical=False)
            .add_extension(x509.KeyUsage(True, False, False, False, False, is_authority, is_authority, False, False),
                           critical=True)
        )  # fmt: skip
        made.append(builder.sign(keys[0], hashes.SHA256()))
    pem = serialization.Encoding.PEM
    (folder / "company.pem").write_bytes(made[0].public_bytes(pem))
    (folder / "cert.pem").write_bytes(made[1].public_bytes(pem))
    (folder / "key.pem").write_bytes(
        keys[1].private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
