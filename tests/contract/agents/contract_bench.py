"""Functions of one contract after another in one sandbox, each loaded into an agent of its own."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from fnctl import catalog
from fnctl.engine.docker import DockerEngine
from fnctl.protocol import messages
from tests.contract.agents.sandbox_host import Answer, SandboxHost, running

JSON = {"Content-Type": "application/json"}
ID = "01JCONTRACTTEST00000000000"


class Bench:
    """One sandbox for many functions, one after the other: each is loaded into a fresh agent."""

    def __init__(self, host: SandboxHost) -> None:
        self.host = host
        self._fresh = True

    def boot(self) -> None:
        """A new agent, if the last one was used."""
        if not self._fresh:
            self.host.supervisor.send(messages.kill())
            self.host.supervisor.expect("exited")
            self.host.boot()
        self._fresh = False

    def boot_template(self) -> None:
        """A new agent that may fork, for the next load."""
        self.host.supervisor.send(messages.kill())
        self.host.supervisor.expect("exited")
        self.host.boot(template=True)
        self._fresh = True

    def load(self, handler: str, contract: str, **fields: Any) -> None:
        self.boot()
        loaded = self.host.load(handler, contract=contract, **fields)
        assert loaded["kind"] == "event"

    def failure(self, handler: str, contract: str, **fields: Any) -> dict[str, Any]:
        """The load fails; what is said of it."""
        self.boot()
        self.host.send_load(handler, contract=contract, **fields)
        failed = self.host.agent.expect("load_failed")
        self.host.supervisor.expect("exited")
        self.host.boot()
        self._fresh = True
        return failed

    def ended(self) -> int:
        """The exit code of an agent that is done with its one invocation."""
        code: int = self.host.supervisor.expect("exited")["code"]
        self.host.boot()
        self._fresh = True
        return code

    def call(self, path: str = "/", body: Any = None, method: str | None = None, **headers: str) -> Answer:
        """Header names with `_` for `-`; a body that is no text or bytes is JSON."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        if body is not None and not isinstance(body, str | bytes):
            body, named = json.dumps(body), {**JSON, **named}
        return self.host.request(method or ("GET" if body is None else "POST"), path, body, named, invocation=ID)

    def crash(self, said: str, **call: Any) -> None:
        answer = self.call(**call)
        assert (answer.status, answer.headers["x-fnctl-error"]) == (500, "crash"), answer
        assert answer.json["error"]["message"] == said

    def bad_response(self, said: str, **call: Any) -> None:
        answer = self.call(**call)
        assert (answer.status, answer.headers["x-fnctl-error"]) == (502, "bad_response"), answer
        assert said in answer.json["error"]["message"]


@contextmanager
def bench(
    engine: DockerEngine, image: str, runtime: str, files: Mapping[str, str], extra: Path | None = None
) -> Iterator[Bench]:
    with running(engine, image, catalog.runtimes()[runtime]) as host:
        host.place(files, extra)
        host.boot()
        yield Bench(host)
