"""A small process beside `fnctl run` that outlives it, and removes its containers and slots if it was killed.

`python -m fnctl.control.crash_watcher RUN SLOTS` waits on its standard input: a byte says that the run ended in good
order, the end of the file without one that it did not. While it waits it has loaded nothing but this file.
"""

from __future__ import annotations

import contextlib
import subprocess
import sys
from pathlib import Path


class CrashWatcher:
    """start → stop. It acts on a run that ended without stopping it."""

    def __init__(self, run: str, slots: Path) -> None:
        """`slots`: the run's folder of slots, which has the secrets of its functions in it."""
        self._process: subprocess.Popen[bytes] | None = None
        self._words = (run, str(slots))

    def start(self) -> None:
        """Where no process can be started the run goes on without: the next run removes what may be left."""
        with contextlib.suppress(OSError):
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", "fnctl.control.crash_watcher", *self._words],
                stdin=subprocess.PIPE,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                start_new_session=True,  # what kills the run's process group must not kill it too
            )

    def stop(self) -> None:
        """The run's containers are gone. Waits for the process to end, which is a matter of milliseconds."""
        process, self._process = self._process, None
        if process is None or process.stdin is None:
            return
        with contextlib.suppress(OSError):
            process.stdin.write(b".")
            process.stdin.close()
        try:
            process.wait(2)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def main(run: str, slots: Path) -> None:
    if sys.stdin.buffer.read(1):
        return
    import time

    from fnctl.control.crash_cleanup import remove_remains
    from fnctl.control.slots_folder import discard
    from fnctl.engine.docker import DockerEngine

    discard(slots)
    remove_remains(DockerEngine(timeout_s=30.0), run, time.monotonic, time.sleep)


if __name__ == "__main__":
    main(sys.argv[1], Path(sys.argv[2]))
