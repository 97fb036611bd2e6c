"""An engine that is connected to when it is first needed: what is all there asks none."""

from __future__ import annotations

from types import TracebackType

from fnctl.engine.docker import DockerEngine
from fnctl.engine.port import Engine


class Engines:
    """Closes what it has connected to as its block ends."""

    def __init__(self) -> None:
        self._engine: Engine | None = None

    def get(self) -> Engine:
        """EngineUnavailable where there is none."""
        if self._engine is None:
            self._engine = DockerEngine()
        return self._engine

    def __enter__(self) -> Engines:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None) -> None:
        if self._engine is not None:
            self._engine.close()
