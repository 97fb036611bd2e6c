"""Things that end at any moment, one a cycle, while calls come: fnctl, the engine, sandboxes, agents, a container."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import threading
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.faults import rig
from tests.faults.engine import PrivateEngine
from tests.faults.rig import Desk, Running
from tests.soak.calls import memory_mb
from tests.soak.figures import Figures, say
from tests.support.command import docker
from tests.support.waiting import until

PROJECT = """
functions:
  warm: {path: node, runtime: node24, handler: harmless.handler, concurrency: 8, scale: {max: 3}}
  warm-python: {path: python, runtime: python3.13, handler: harmless.handler, scale: {max: 3}}
  once: {path: node, runtime: node24, handler: harmless.handler, model: ephemeral, scale: {max: 3}}
  once-python: {path: python, runtime: python3.13, handler: harmless.handler, model: ephemeral, scale: {max: 3}}
"""
FUNCTIONS = ("warm", "warm-python", "once", "once-python")
# What a call may be told while its instance or the engine goes away under it. Anything else is an error.
TOLD = {(502, "sandbox_lost"), (502, "crash"), (502, "protocol"), (503, "no_capacity"), (503, "engine"),
        (503, "engine_unavailable"), (504, "queue_timeout")}  # fmt: skip
AGAIN_S = 60.0


@dataclass
class Callers:
    """One for each function, calling until told to stop."""

    fnctl: Running
    told: Counter[tuple[int, str]] = field(default_factory=Counter)
    cut: int = 0  # connections that ended without an answer
    _over: threading.Event = field(default_factory=threading.Event)
    _threads: list[threading.Thread] = field(default_factory=list)

    def __enter__(self) -> Callers:
        for function in FUNCTIONS:
            thread = threading.Thread(target=self._call, args=(function,))
            self._threads.append(thread)
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join()

    def _call(self, function: str) -> None:
        while not self._over.is_set():
            try:
                answer = self.fnctl.call(function)
                self.told[answer.status, "" if answer.status == 200 else str(answer.error["code"])] += 1
            except OSError:
                self.cut += 1
                self._over.wait(0.05)

    @property
    def answered(self) -> int:
        return sum(self.told.values())


class Chaos:
    """One running fnctl after the other, on an engine that is restarted, too."""

    def __init__(self, desk: Desk, engine: PrivateEngine, chance: random.Random) -> None:
        self.desk = desk
        self.engine = engine
        self.chance = chance
        self.figures = Figures("chaos", {"cycles": 0, "events": Counter(), "calls": 0, "told": Counter()})
        self.stack = contextlib.ExitStack()
        self.fnctl = self._start()

    def _start(self) -> Running:
        return self.stack.enter_context(rig.running(self.desk, warm=2))

    def cycle(self) -> None:
        events: dict[str, tuple[int, Callable[[], bool]]] = {
            "kill sandbox": (6, lambda: self._sandbox("kill")),
            "docker rm": (6, lambda: self._sandbox("rm", "-f")),
            "kill agent": (6, self._agent),
            "kill fnctl": (3, self._killed),
            "restart engine": (2, self._restarted),
        }
        name = self.chance.choices(list(events), [weight for weight, _ in events.values()])[0]
        self.figures.counted["events"][name] += 1
        self.figures.counted["cycles"] += 1
        if name == "kill fnctl":
            self.fnctl.audit()  # what was answered so far has its receipts; what comes now, nobody asks for them
        with Callers(self.fnctl) as callers:
            until(lambda: callers.answered + callers.cut > 20, "calls to come", AGAIN_S)
            events[name][1]()
            if name != "kill fnctl":
                before = callers.answered
                until(lambda: callers.answered > before + 10, "calls to go on", AGAIN_S)
        self._judge(name, callers)
        if name == "kill fnctl":
            self._started_again()
        for function in FUNCTIONS:
            until(lambda function=function: self.fnctl.call(function).status == 200, f"{function} again", AGAIN_S)  # type: ignore[misc]
        self.fnctl.audit()

    def _judge(self, name: str, callers: Callers) -> None:
        self.figures.counted["calls"] += callers.answered
        for (status, code), count in callers.told.items():
            if status != 200:
                self.figures.counted["told"][f"{status} {code}"] += count
            if status != 200 and (status, code) not in TOLD:
                self.figures.failed[f"{name}: {status} {code}"] += count
        if callers.cut and name != "kill fnctl":
            self.figures.failed[f"{name}: no answer"] += callers.cut

    # -- events ----------------------------------------------------------------------------------------------------

    def _sandbox(self, *words: str) -> bool:
        rows = [row for row in self.fnctl.status()["instances"] if row["sandbox"]]
        if not rows:
            return False
        with contextlib.suppress(Exception):  # it has ended by itself meanwhile
            docker(*words, self.chance.choice(rows)["sandbox"], DOCKER_HOST=self.engine.host)
        return True

    def _agent(self) -> bool:
        """Any process of a sandbox but its first."""
        rows = [row for row in self.fnctl.status()["instances"] if row["sandbox"] and row["runtime"]]
        if not rows:
            return False
        with contextlib.suppress(Exception):
            sandbox = self.chance.choice(rows)["sandbox"]
            inside = docker("inspect", "-f", "{{.State.Pid}}", sandbox, DOCKER_HOST=self.engine.host).strip()
            said = docker("top", sandbox, "-eo", "pid", DOCKER_HOST=self.engine.host).split()[1:]
            os.kill(int(self.chance.choice([pid for pid in said if pid != inside])), signal.SIGKILL)
        return True

    def _killed(self) -> bool:
        self.fnctl.process.send_signal(signal.SIGKILL)
        self.fnctl.process.wait()
        return True

    def _started_again(self) -> None:
        self.stack.close()
        self.fnctl = self._start()

    def _restarted(self) -> bool:
        self.engine.stop()
        self.engine.start()
        return True

    def end(self) -> None:
        self.figures.counted["memory_mb"] = round(memory_mb(self.fnctl.process.pid), 1)
        try:
            self.fnctl.stop()  # asserts that nothing is left
            self.figures.counted["orphans"] = 0
        except AssertionError as error:
            self.figures.counted["orphans"] = len(self.desk.containers())
            self.figures.failed[f"at the end: {error}"] += 1
        self.stack.close()


def soak(engine: PrivateEngine, cycles: int, seed: int) -> Figures:
    with rig.desk(DOCKER_HOST=engine.host) as desk:
        (desk.project / "fnctl.yaml").write_text(PROJECT)
        chaos = Chaos(desk, engine, random.Random(seed))
        try:
            before = memory_mb(chaos.fnctl.process.pid)
            for number in range(cycles):
                try:
                    chaos.cycle()
                except AssertionError as error:
                    chaos.figures.failed[f"cycle {number}: {error}"[:600]] += 1
                    say(f"  cycle {number}: {error}"[:600])
                    break
                if (number + 1) % 10 == 0:
                    say(f"  {number + 1} cycles: {dict(chaos.figures.counted['events'])}")
        finally:
            chaos.end()
        chaos.figures.counted["memory_ratio"] = round(chaos.figures.counted["memory_mb"] / before, 3)
    return chaos.figures
