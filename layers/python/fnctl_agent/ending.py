"""How a program that is not needed any more is let go of: by SIGTERM, as everywhere. Not what follows it."""

from __future__ import annotations

import os
import threading

from fnctl_agent import logs
from fnctl_agent.later import Later

TYPE_CHECKING = False
if TYPE_CHECKING:
    import atexit
    import signal
    from typing import NoReturn
else:
    atexit, signal = Later("atexit"), Later("signal")


def terminate() -> bool:
    """Have the program's own handler of SIGTERM run, in the main thread; in that thread, it has run on return.

    False where the program has none: what would end it then is the signal itself, which the caller may do better.
    """
    handler = signal.getsignal(signal.SIGTERM)
    if handler is signal.SIG_DFL or handler is signal.SIG_IGN:
        return False
    main = threading.main_thread()
    if threading.current_thread() is main:
        signal.raise_signal(signal.SIGTERM)
    else:
        signal.pthread_kill(main.ident or 0, signal.SIGTERM)  # wakes it from what it waits for, too
    return True


def leave(code: int) -> NoReturn:
    """The process ends, from any thread, after what was registered with `atexit`."""
    atexit._run_exitfuncs()
    logs.finish(None)
    os._exit(code)
