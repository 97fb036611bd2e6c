"""What an expression of a run can name: `$context`, `$input`, `$task`, `$workflow`, …"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from fnctl import __version__
from fnctl.openworkflow.frame import Frame, Place, moment

if TYPE_CHECKING:
    from fnctl.openworkflow.run import Run


class Variables(dict[str, Any]):
    """The variables of an expression; each is made when it is asked for."""

    def __init__(self, run: Run, place: Place, frame: Frame | None, more: Mapping[str, Any]) -> None:
        super().__init__({**place.variables, **more})
        self._run = run
        self._frame = frame

    def get(self, name: str, default: Any = None) -> Any:
        if name in self:
            return self[name]
        run, frame = self._run, self._frame
        match name:
            case "context":
                return run.history.context
            case "input":
                return frame.input if frame is not None else (run.history.started or {}).get("input")
            case "output":
                return frame.output if frame is not None else None
            case "task":
                return frame.described() if frame is not None else None
            case "workflow":
                return _described(run)
            case "runtime":
                return {"name": "fnctl", "version": __version__, "metadata": {}}
            case "secrets":
                return {each: run.world.secret(each) for each in run.definition.secrets}
        return default


def _described(run: Run) -> dict[str, Any]:
    """`$workflow`."""
    started = run.history.started or {}
    return {
        "id": run.id,
        "definition": run.definition.data,
        "input": started.get("input"),
        "startedAt": moment(started.get("at", 0.0)),
    }
