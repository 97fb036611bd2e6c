"""What remains of a killed run is removed: containers and networks that carry its label. Pure but for the engine that
it is given; how the process that does it is started and told is in control/crash_watcher.py."""

from __future__ import annotations

from collections.abc import Callable

from fnctl.engine.port import LABEL_RUN, Engine
from fnctl.errors import EngineError

LOOK_S = 1.0
# The engine carries on with a create whose client has died. It took less than this on a machine with ten processes for
# each core; after that long without a find nothing more will come.
QUIET_S = 15.0
GIVE_UP_S = 600.0  # an engine that is down for longer: the next run or `fnctl prune` removes what there is


def remove_remains(engine: Engine, run: str, clock: Callable[[], float], sleep: Callable[[float], None]) -> int:
    """Remove every container and network of this run until none has been found for a while; how many containers there
    were. They are told by the run's id, which no other run has: a new run of the same project is left alone."""
    began = quiet_since = clock()
    removed = 0
    while clock() - quiet_since < QUIET_S and clock() - began < GIVE_UP_S:
        try:
            left = engine.list({LABEL_RUN: run})
            for box in left:
                engine.destroy(box.id)
            for network in engine.networks({LABEL_RUN: run}):
                engine.remove_network(network)
        except EngineError:
            left = []
            quiet_since = clock()  # nobody said that there is none
        if left:
            removed += len(left)
            quiet_since = clock()
        sleep(LOOK_S)
    return removed
