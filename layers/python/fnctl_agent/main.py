"""Boots the runtime, waits for a function, and hands over to it. The order of things; nothing else."""

from __future__ import annotations

import atexit
import gc
import os
import sys
import time

from fnctl_agent import contracts, logs, program, vendored
from fnctl_agent.capture import capture
from fnctl_agent.control import Control
from fnctl_agent.hosting import Hosting
from fnctl_agent.pack import AHEAD, Packed
from fnctl_agent.preload import preload
from fnctl_agent.vendored import Servers

RUNTIME = f"python{sys.version_info.major}.{sys.version_info.minor}"


def main(packed: Packed) -> None:
    """Boot ahead, then load one function and serve it. Returns only where the program has come to its end."""
    servers, ahead = _boot(packed)
    if "--serve" in sys.argv:
        from fnctl_agent import standalone

        packed.close()
        standalone.run(servers)
        return
    logs.install(marked=True)
    atexit.register(logs.finish, None)  # after all that the program registers
    root = os.environ.pop("FNCTL_ROOT", "/fn")
    writable = _writable()
    control = Control(root)
    control.hello(RUNTIME)
    own, packed = packed, Packed()
    load = control.wait_load(packed.read_ahead)
    hosting = Hosting(control, load, servers, writable)
    os.environ.update(load["env"], PORT=str(load["port"]))
    if "TZ" in load["env"]:
        time.tzset()
    hosting.pause_collections()
    if not sys.flags.optimize:  # what a pack holds was compiled without
        packed.read_of(load["root"], library=not ahead)
        packed.use()
    hosting.when_loaded(lambda: (own.close(), packed.close()))
    capture(hosting)
    try:
        contract = contracts.contract_of(load)
        for name, value in contract.environment(load).items():
            os.environ.setdefault(name, value)
        program.prepare(load["root"], load["handler"])
        if load["handler"].endswith(".py"):
            hosting.watch()
        found = program.run(load, contract, packed.main(program.place(load["root"], load["handler"])))
    except BaseException as error:  # the load's root: SystemExit is a failure here too
        if hosting.stopping:
            raise
        hosting.fail(error)
    if hosting.stopping:
        return
    hosting.stay()
    hosting.serve(found)


def _boot(packed: Packed) -> tuple[Servers, bool]:
    """Import what is needed whatever the function; `FNCTL_PRELOAD` says whether to import ahead, too."""
    servers = vendored.load()
    contracts.contract_of({})  # what most functions are called by
    ahead = os.environ.pop("FNCTL_PRELOAD", "1") != "0"
    if ahead:  # booted for a known function, that would be time for nothing
        packed.read(AHEAD)
        preload()
        servers.preload()
        gc.collect()
        packed.close()
    gc.freeze()  # what is here by now stays: no later collection has to look at it
    gc.enable()
    return servers, ahead


def _writable() -> list[bytes] | None:
    """The folders to wipe between invocations; None where this process is not alone with a supervisor in a sandbox.

    Killing "every other process" must not be tried anywhere else.
    """
    folders = os.environ.pop("FNCTL_WIPE", "")
    supervised = os.environ.pop("FNCTL_SUPERVISED", "") == "1" and os.getppid() == 1
    return [os.fsencode(folder) for folder in folders.split(":") if folder] if supervised else None
