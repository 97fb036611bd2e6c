"""What programs expect that were written elsewhere, each as a function of one project behind one `fnctl run`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pytest

from tests.faults import rig
from tests.faults.rig import Running

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

FILES = {
    "python/requirements.txt": "fastapi\nuvicorn\npsutil\n",
    "python/interfaces.py": """
        import psutil

        def handler(event, context):
            return {name: [each.address for each in all] for name, all in psutil.net_if_addrs().items()}
        """,
    "node/interfaces.js": """
        const os = require('os');
        exports.handler = async () => os.networkInterfaces();
        """,
    "python/raising.py": """
        import uvicorn
        from fastapi import FastAPI

        app = FastAPI()

        @app.get("/")
        def fine():
            return "fine"

        @app.get("/boom")
        def boom():
            raise RuntimeError("boom")

        if __name__ == "__main__":
            uvicorn.run(app, port=8000)
        """,
    "node/ending.js": """
        const http = require('http');
        http.createServer((request, response) => {
          if (request.url === '/boom') response.statusCode = 500;
          response.end('fine');
          if (request.url === '/boom') request.socket.end();
        }).listen(3000);
        """,
}
NETWORKS = ("none", "services", "egress")
FUNCTIONS = {
    "raising": "path: python, runtime: python3.13, handler: raising.py",
    "raising-asgi": "path: python, runtime: python3.13, handler: raising.app",
    "ending": "path: node, runtime: node24, handler: ending.js",
    **{f"interfaces-{network}": f"path: node, handler: interfaces.handler, network: {network}" for network in NETWORKS},
    "interfaces-python": "path: python, handler: interfaces.handler",
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    source = tmp_path_factory.mktemp("programs")
    for name, text in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(textwrap.dedent(text))
    entries = [f"  {name}: {{{entry}}}\n" for name, entry in FUNCTIONS.items()]
    (source / "fnctl.yaml").write_text("functions:\n" + "".join(entries))
    with rig.desk(source) as desk, rig.running(desk, warm=2) as running:
        yield running
        running.stop()


@pytest.mark.parametrize("function", ["raising", "raising-asgi", "ending"])
def test_an_error_costs_no_other_request(running: Running, function: str) -> None:
    answers = [running.call(function, path).status for _ in range(20) for path in ("/boom", "/")]
    assert answers == [500, 200] * 20


@pytest.mark.parametrize(
    "function", ["interfaces-none", "interfaces-services", "interfaces-egress", "interfaces-python"]
)
def test_a_program_can_list_its_interfaces(running: Running, function: str) -> None:
    """`os.networkInterfaces()`, which Next.js and Fastify ask at their start; psutil; Go's is the same call."""
    found = running.call(function).json
    assert "lo" in found
    assert ("eth0" in found) == (function in ("interfaces-services", "interfaces-egress"))
