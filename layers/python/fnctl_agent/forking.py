"""Ephemeral invocations by fork: the loaded process is a template, and each request gets a child of it.

The child is forked ahead and waits in its read, so that the fork is not on the request's path. What a child leaves
behind dies with it: every other process is killed, what it could write to is wiped, its output was its own.
What a child could still do on purpose to its parent (the same user): stop or kill it. Then the host ends the sandbox,
or starts another template in it, and uses nothing that a child has dialled. Limits and priorities of others are
refused (seccomp).
"""

# names below /proc, read on the way to every load: strings will do:
# ruff: noqa: PTH115, PTH123, PTH208
from __future__ import annotations

import contextlib
import ctypes
import gc
import os
import select
import signal
import socket
import stat
import struct
import sys
import time
import traceback

from fnctl_agent import logs
from fnctl_agent.asgi import StartupFailed
from fnctl_agent.control import Control, dial
from fnctl_agent.wipe import is_empty, wipe

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, NoReturn

# What the agent imports when it is first asked for (later.py): here once, or in each child.
_ASKED_FOR = ("base64", "inspect", "urllib.parse")
_PR_SET_DUMPABLE = 4
_KILL_S = 2.0  # for killed processes to be gone; more means that the sandbox is broken
_READABLE = 0o604  # as the supervisor's own
COULD_NOT_START = 86  # exit code of a child that failed before it could take a request

_prctl = ctypes.CDLL(None).prctl


def obstacle(control: Control, writable: list[bytes] | None) -> str | None:
    """Why this process must not be a template: something in it would be shared between invocations; or None."""
    if writable is None:
        return "it is not alone in a sandbox"
    if len(os.listdir("/proc/self/task")) > 1:
        return "it has threads"
    if _has_children():
        return "it has processes"
    if found := _open_file(control.socket.fileno()):
        return f"it has {found} open"
    if _shares_memory():
        return "it shares memory that it can write"
    left = next((folder.decode() for folder in writable if not is_empty(folder)), None)
    return f"it has files in {left}" if left else None


def _has_children() -> bool:
    try:
        os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)
    except ChildProcessError:
        return False
    return True


def _open_file(control: int) -> str | None:
    """A descriptor whose offset, flags or peer all children would have in common; devices have none of these."""
    for name in os.listdir("/proc/self/fd"):
        fd = int(name)
        if fd <= 2 or fd == control:
            continue
        try:
            mode = os.fstat(fd).st_mode
            if not stat.S_ISCHR(mode):
                return os.readlink(f"/proc/self/fd/{fd}")
        except OSError:
            continue  # the one that listed the folder
    return None


def _shares_memory() -> bool:
    with open("/proc/self/maps") as maps:
        return any(line.split()[1].startswith("rw") and line.split()[1].endswith("s") for line in maps)


def run(control: Control, serve_one: Callable[[socket.socket], None], writable: list[bytes]) -> NoReturn:
    """Serve invocations for good. `loaded` has been sent; nothing has been dialled yet."""
    for name in _ASKED_FOR:
        __import__(name)
    gc.collect()
    gc.freeze()  # a collection in a child would otherwise write to, and so copy, every page of the template
    _prctl(_PR_SET_DUMPABLE, 0, 0, 0, 0)  # no child may look into or write to this process through /proc
    done: dict[str, Any] | None = None
    while True:
        child = _fork(control, serve_one)
        if done:
            control.send(done)
        usage, status = _wait(control, child)
        if os.waitstatus_to_exitcode(status) == COULD_NOT_START:
            os._exit(1)
        _clean(writable)
        done = {
            "op": "done",
            "cpu_ms": round((usage.ru_utime + usage.ru_stime) * 1000, 1),
            "peak_kb": usage.ru_maxrss,
            "code": os.WEXITSTATUS(status) if os.WIFEXITED(status) else 0,
            "signal": os.WTERMSIG(status) if os.WIFSIGNALED(status) else 0,
        }


def _fork(control: Control, serve_one: Callable[[socket.socket], None]) -> int:
    # Dialled here and not by the child: by this process the host knows them (SO_PEERCRED) from what a child dials.
    data = dial(control.root, "data")
    log = _log_pipe(control.root)
    pid = os.fork()
    if pid == 0:
        _be_child(control, serve_one, data, log)
    data.close()
    os.close(log)
    return pid


def _log_pipe(root: str) -> int:
    """Where a child is to print: the host has the other end. One of its own: on a shared one a child could set flags
    for those after it, and what it prints would not be told from what they do."""
    reading, writing = os.pipe()
    os.fchmod(reading, _READABLE)
    with dial(root, "log") as log:
        log.sendmsg([b"\n"], [(socket.SOL_SOCKET, socket.SCM_RIGHTS, struct.pack("i", reading))])
    os.close(reading)
    return writing


def _be_child(control: Control, serve_one: Callable[[socket.socket], None], data: socket.socket, log: int) -> NoReturn:
    code = 1
    try:
        os.setsid()
        control.socket.close()
        os.dup2(log, 1)
        os.dup2(log, 2)
        os.close(log)
        _prctl(_PR_SET_DUMPABLE, 1, 0, 0, 0)
        _reseed()
        code = _serve(serve_one, data)
        logs.finish(None)
    finally:
        os._exit(code)


def _serve(serve_one: Callable[[socket.socket], None], data: socket.socket) -> int:
    try:
        serve_one(data)
    except StartupFailed:
        return COULD_NOT_START
    except BaseException:
        traceback.print_exc()
        return 1
    return 0


def _reseed() -> None:
    """`random` reseeds itself after a fork; numpy's global generator does not."""
    if numpy := sys.modules.get("numpy.random"):
        numpy.seed()


def _wait(control: Control, child: int) -> tuple[Any, int]:
    """The child's usage and status, once it has ended. Leaves the process when the host hangs up."""
    watch = os.pidfd_open(child)
    poll = select.poll()
    poll.register(watch, select.POLLIN)
    poll.register(control.socket, select.POLLIN)
    while watch not in (ready := dict(poll.poll())):
        if control.socket.fileno() in ready:
            for _ in control.receive():
                pass  # a `dial`: an ephemeral instance has one connection at a time
    os.close(watch)
    _, status, usage = os.wait4(child, 0)
    return usage, status


def _clean(writable: list[bytes]) -> None:
    """Kill every process but this one and PID 1, and empty the folders. Ends the process where that fails."""
    deadline = time.monotonic() + _KILL_S
    while _kill_others():
        if time.monotonic() > deadline:
            os._exit(1)
        time.sleep(0.0002)  # orphans are PID 1's to reap
    if left := [folder for folder in writable if not wipe(folder)]:
        sys.stderr.write(f"could not empty {left}\n")
        os._exit(1)


def _kill_others() -> bool:
    """SIGKILL all others at one instant; False once there are none. A process with a kill pending cannot fork."""
    try:
        os.kill(-1, signal.SIGKILL)
    except (ProcessLookupError, PermissionError):
        return False
    with contextlib.suppress(ChildProcessError):
        while os.waitpid(-1, os.WNOHANG)[0]:
            pass
    return True
