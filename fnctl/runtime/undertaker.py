"""What remains of a killed run is removed: the containers that carry its label. Pure but for the engine it is given;
how the process that does it is started and told is in cli/undertaker.py."""

from __future__ import annotations

from collections.abc import Callable

from fnctl.engine.base import LABEL_RUN, Engine
from fnctl.errors import EngineError

LOOK_S = 1.0
# The engine carries on with a create whose client has died. It took less than this on a machine with ten processes for
# each core; after that long without a find nothing more will come.
QUIET_S = 15.0
GIVE_UP_S = 600.0  # an engine that is down for longer: the next run or `fnctl prune` removes what there is


def bury(engine: Engine, run: str, clock: Callable[[], float], sleep: Callable[[float], None]) -> int:
    """Remove every container of this run until none has been found for a while; how many there were.

    They are told by the run's id, which no other run has: a new run of the same project is left alone. Networks are not
    removed, for a new run may use the same ones.
    """
    began = quiet_since = clock()
    removed = 0
    while clock() - quiet_since < QUIET_S and clock() - began < GIVE_UP_S:
        try:
            left = engine.list({LABEL_RUN: run})
            for box in left:
                engine.destroy(box.id)
        except EngineError:
            left = []
            quiet_since = clock()  # nobody said that there is none
        if left:
            removed += len(left)
            quiet_since = clock()
        sleep(LOOK_S)
    return removed
