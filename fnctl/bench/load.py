"""Load on one target at one concurrency, by wrk where it is installed, else by fnctl's own generator. Says which.

Throughput is measured in a closed loop; latency at a given rate in an open one, which only the own generator can.
"""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from fnctl.bench.calls import Target
from fnctl.bench.generator import Job
from fnctl.bench.measure import NotMeasured
from fnctl.bench.stats import percentile
from fnctl.errors import DeadlineExceeded

GRACE_S = 30.0  # past the duration, for starting, connecting and writing the answer
OWN = "fnctl's own generator"

# wrk's own text rounds and changes units; its `done` hook has the numbers. Latencies are in microseconds.
WRK_DONE = """\
done = function(summary, latency, requests)
  local e = summary.errors
  io.stderr:write(string.format(
    '{"requests":%d,"us":%d,"refused":%d,"broken":%d,"p50":%f,"p90":%f,"p99":%f}\\n', summary.requests,
    summary.duration, e.status, e.connect + e.read + e.write + e.timeout,
    latency:percentile(50), latency:percentile(90), latency:percentile(99)))
end
"""


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: `rate` (requests a second, all connections together) makes it open loop."""

    target: Target
    connections: int
    duration_s: float
    rate: float | None = None


@dataclass(frozen=True, slots=True)
class Outcome:
    """What came of it. `requests` are the answered ones that succeeded; latencies in ms, None where none did."""

    tool: str
    requests: int
    failed: int
    took_s: float
    p50_ms: float | None
    p90_ms: float | None
    p99_ms: float | None
    client_cpu_s: float

    @property
    def rps(self) -> float:
        return self.requests / self.took_s if self.took_s else 0.0


def wrk_path() -> str | None:
    return shutil.which("wrk")


def generator() -> str:
    """Which generator closed loops over TCP are run with, and its version."""
    if (wrk := wrk_path()) is None:
        return OWN
    said = subprocess.run([wrk, "-v"], capture_output=True, text=True, timeout=GRACE_S).stdout
    return " ".join(said.split()[:2])


def apply(load: Load, fds: Sequence[int] = ()) -> Outcome:
    """Run it to its end. `fds`: connections that are open already, in place of the target's address.

    DeadlineExceeded where the generator does not end; NotMeasured where it could not run.
    """
    if load.rate is None and not fds and not isinstance(load.target.address, Path) and (wrk := wrk_path()):
        return _by_wrk(wrk, load)
    return _by_own(load, fds)


def _by_wrk(wrk: str, load: Load) -> Outcome:
    assert not isinstance(load.target.address, Path)
    host, port = load.target.address
    with tempfile.NamedTemporaryFile("w", suffix=".lua") as script:
        script.write(f'wrk.method = "{load.target.method}"\n{WRK_DONE}')
        script.flush()
        # One thread: the server has the other cores, and one thread of wrk saturates any of them.
        argv = [wrk, "-t1", f"-c{load.connections}", f"-d{_whole_seconds(load.duration_s)}s", "-s", script.name]
        for name, value in (("Host", load.target.host), *load.target.fields):
            argv += ["-H", f"{name}: {value}"]
        argv += [f"http://{host}:{port}{load.target.path}"]
        ended, cpu_s = _run(argv, load.duration_s)
    return wrk_outcome(ended.stderr, cpu_s)


def _whole_seconds(duration_s: float) -> int:
    """wrk takes whole seconds only."""
    return max(1, round(duration_s))


def wrk_outcome(text: str, cpu_s: float) -> Outcome:
    """From the line that the script wrote. Answers that are no success are among wrk's `requests`, and taken out."""
    lines = [line for line in text.splitlines() if line.startswith("{")]
    if not lines:
        raise NotMeasured(f"wrk gave no result: {text.strip()[-300:] or 'it said nothing'}")
    said = json.loads(lines[-1])
    good = max(0, said["requests"] - said["refused"])
    p50, p90, p99 = (said[name] / 1000 if good else None for name in ("p50", "p90", "p99"))
    return Outcome("wrk", good, said["refused"] + said["broken"], said["us"] / 1e6, p50, p90, p99, cpu_s)


def _by_own(load: Load, fds: Sequence[int]) -> Outcome:
    address = load.target.address
    host, port = ("", 0) if isinstance(address, Path) else address
    job = Job(
        request=load.target.request().decode("latin-1"),
        connections=load.connections,
        duration_s=load.duration_s,
        host=host,
        port=port,
        unix=str(address) if isinstance(address, Path) else "",
        fds=tuple(fds),
        rate=load.rate,
    )
    argv = [sys.executable, "-m", "fnctl.bench.generator"]
    ended, _ = _run(argv, load.duration_s, json.dumps(asdict(job)), fds)
    if ended.returncode:
        raise NotMeasured(f"the load generator failed: {ended.stderr.strip()[-300:]}")
    return own_outcome(json.loads(ended.stdout))


def own_outcome(said: dict[str, Any]) -> Outcome:
    """From what the generator wrote. What was due and never sent has failed."""
    latencies: list[float] = said["latencies_ms"]
    p50, p90, p99 = (percentile(latencies, q) if latencies else None for q in (0.5, 0.9, 0.99))
    failed = said["failed"] + said["late"]
    return Outcome(OWN, len(latencies), failed, said["took_s"], p50, p90, p99, said["cpu_s"])


def _run(
    argv: list[str], duration_s: float, stdin: str = "", fds: Sequence[int] = ()
) -> tuple[subprocess.CompletedProcess[str], float]:
    """The ended process and its CPU seconds (the only child that ends meanwhile)."""
    before = _children_cpu()
    try:
        ended = subprocess.run(
            argv, input=stdin, capture_output=True, text=True, timeout=duration_s + GRACE_S, pass_fds=tuple(fds)
        )
    except subprocess.TimeoutExpired as late:
        raise DeadlineExceeded(f"{Path(argv[0]).name} did not end within {duration_s + GRACE_S:.0f} s") from late
    return ended, _children_cpu() - before


def _children_cpu() -> float:
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
