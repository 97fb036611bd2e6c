"""Boots the runtime, waits for a function, and hands over to it. The order of things; nothing else."""

from __future__ import annotations

import gc
import os
import sys

from fnctl_agent import logs, program, standalone, vendored
from fnctl_agent.capture import capture
from fnctl_agent.contracts import contract_of
from fnctl_agent.control import Control
from fnctl_agent.hosting import Hosting
from fnctl_agent.preload import preload

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"


def main() -> None:
    """Boot ahead, then load one function and serve it. Returns only where serving ended by itself."""
    servers = vendored.load()
    if os.environ.pop("FNCTL_PRELOAD", "1") != "0":  # booted for a known function, that would be time for nothing
        preload()
        servers.preload()
    gc.collect()
    gc.freeze()  # what is here by now stays: no later collection has to look at it
    if "--serve" in sys.argv:
        standalone.run(servers)
        return
    logs.install(marked=True)
    root = os.environ.pop("FNCTL_ROOT", "/fn")
    writable = _writable()
    control = Control(root)
    control.hello(RUNTIME)
    load = control.wait_load()
    hosting = Hosting(control, load, servers, writable)
    os.environ.update(load["env"], PORT=str(load["port"]))
    hosting.pause_collections()
    capture(hosting)
    try:
        contract = contract_of(load)
        for name, value in contract.environment(load).items():
            os.environ.setdefault(name, value)
        program.prepare(load["root"], load["handler"])
        if load["handler"].endswith(".py"):
            hosting.watch()
        found = program.run(load, contract)
    except BaseException as error:  # the load's root: SystemExit is a failure here too
        hosting.fail(error)
    hosting.stay()
    hosting.serve(found)


def _writable() -> list[bytes] | None:
    """The folders to wipe between invocations; None where this process is not alone with a supervisor in a sandbox.

    Killing "every other process" must not be tried anywhere else.
    """
    folders = os.environ.pop("FNCTL_WIPE", "")
    supervised = os.environ.pop("FNCTL_SUPERVISED", "") == "1" and os.getppid() == 1
    return [os.fsencode(folder) for folder in folders.split(":") if folder] if supervised else None
