"""The gateway beside nginx, the yardstick of proxies: one process each, before the same tiny app on a unix socket."""

from __future__ import annotations

import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from fnctl.bench import calls
from fnctl.bench.baselines import Program
from fnctl.bench.calls import Target
from fnctl.bench.measure import LoadRow, Measure, NotMeasured, Question
from fnctl.bench.stack import Serving, running
from fnctl.bench.subject import Subject
from fnctl.bench.throughput import Contender, Used, compared, of_stack
from fnctl.bench.usage import process_cpu_s

READY_S = 10.0
CONNECTIONS = 32

# One worker, connections to the backend kept open as fnctl keeps them, nothing logged.
CONFIG = """\
daemon off;
worker_processes 1;
pid {folder}/nginx.pid;
error_log stderr crit;
events {{ worker_connections 1024; }}
http {{
  access_log off;
  keepalive_requests 100000000;
  client_body_temp_path {folder}/body;
  proxy_temp_path {folder}/proxy;
  fastcgi_temp_path {folder}/fastcgi;
  uwsgi_temp_path {folder}/uwsgi;
  scgi_temp_path {folder}/scgi;
  upstream app {{
    server unix:{folder}/app.sock;
    keepalive {connections};
    keepalive_requests 100000000;
  }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      proxy_pass http://app;
      proxy_http_version 1.1;
      proxy_set_header Connection "";
      proxy_set_header Host $host;
      proxy_set_header X-Forwarded-For $remote_addr;
    }}
  }}
}}
"""

QUESTION = Question(
    "gateway-nginx",
    "the gateway beside nginx, tiny app",
    f"requests per second, {CONNECTIONS} connections, in turns: fnctl in front of the app in its sandbox; nginx"
    " (1 worker) in front of the same app, bare, on a unix socket",
    "requests/s",
    better=1,
    over="fnctl ÷ nginx",
)


def beside_nginx(ask: Question, tiny: Subject, duration_s: float, n: int) -> tuple[Measure, list[LoadRow]]:
    """NotMeasured where nginx is not installed."""
    app = tiny.program()
    with running(tiny.project, Serving((tiny.name,))) as stack, nginx("nginx, tiny app", app) as other:
        target = stack.target(tiny.name)
        stack.warm_up(target)
        return compared(ask, [of_stack("fnctl, tiny app", stack, target), other], CONNECTIONS, duration_s, n)


@contextmanager
def nginx(name: str, app: Program) -> Iterator[Contender]:
    """The app on a unix socket with nginx in front of it, ended afterwards. NotMeasured where there is no nginx."""
    found = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if found is None:
        raise NotMeasured("nginx is not installed")
    port = calls.free_port()
    with tempfile.TemporaryDirectory(prefix="fnctl-nginx-") as place:
        folder = Path(place)
        folder.chmod(0o755)  # its worker may be another user
        backend = app.started(folder / "app.sock")
        _await_socket(folder / "app.sock", backend)
        (folder / "nginx.conf").write_text(CONFIG.format(folder=folder, port=port, connections=CONNECTIONS))
        argv = [found, "-p", place, "-c", str(folder / "nginx.conf")]
        # said into a file: a pipe would be held open by its workers
        with (folder / "said").open("wb") as said:
            front = subprocess.Popen(argv, stdin=subprocess.DEVNULL, stdout=said, stderr=said)
        try:
            target = Target(("127.0.0.1", port), f"127.0.0.1:{port}", app.path)
            if calls.first_success(target, time.perf_counter() + READY_S, lambda: front.poll() is None) is None:
                raise NotMeasured(
                    f"nginx gave no answer: {(folder / 'said').read_text('utf-8', 'replace').strip()[-300:]}"
                )
            pids = [*_workers(front.pid), backend.pid]
            yield Contender(name, target, lambda: Used(process_cpu_s(pids)))
        finally:
            front.terminate()
            front.wait(READY_S)
            backend.kill()
            backend.wait(READY_S)


def _workers(master: int) -> list[int]:
    return [int(pid) for pid in Path(f"/proc/{master}/task/{master}/children").read_text().split()]


def _await_socket(path: Path, backend: subprocess.Popen[bytes]) -> None:
    """Until the backend listens there, and nginx's worker may connect."""
    deadline = time.perf_counter() + READY_S
    while not path.exists():
        if time.perf_counter() > deadline or backend.poll() is not None:
            raise NotMeasured("the app behind nginx did not come up")
        time.sleep(calls.POLL_S)
    path.chmod(0o666)
