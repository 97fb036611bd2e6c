"""What a bridge of ours must not reach of this machine, as rules of its packet filter. Not how the bridge is made.

The host's own addresses are told by where a packet was sent to, before any published port redirects it: addresses that
the machine gets later count, too. Refused connections fail at once. All rules name the bridge, and go with it.
"""

from __future__ import annotations

import os
import shlex
import shutil
import socket
import subprocess
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import sha256
from ipaddress import ip_address
from itertools import product
from pathlib import Path

from fnctl.engine.port import Guard
from fnctl.errors import EngineError

COMMAND_S = 20.0
RESOLVERS = (Path("/etc/resolv.conf"), Path("/run/systemd/resolve/resolv.conf"))
# By family. fd00:ec2::254 is where one cloud answers what it answers at 169.254.169.254.
LINK_LOCAL = {4: ("169.254.0.0/16",), 6: ("fe80::/10", "fd00:ec2::/32")}
# What a program on this machine gets. IPv4: any of these; IPv6 takes several in one rule for all of them at once.
OWN = {4: ("LOCAL,BROADCAST,MULTICAST",), 6: ("LOCAL", "MULTICAST")}
COMMANDS = {4: "iptables", 6: "ip6tables"}
HINT = (
    "run fnctl as root on Docker's own machine, with iptables installed; or allow these addresses to the function:"
    " `egress: {host: true, link_local: true}`"
)


@dataclass(frozen=True, slots=True)
class Rule:
    """In a chain of a table. Those of one table and chain apply in their order."""

    table: str
    chain: str
    words: tuple[str, ...]


def bridge_name(network: str) -> str:
    """The network interface of a network of ours: a name that can be in a rule before there is such an interface."""
    return "fn" + sha256(network.encode()).hexdigest()[:12]


def rules(bridge: str, guard: Guard, family: int, resolvers: Iterable[str], forward: str) -> list[Rule]:
    """For IPv4 or IPv6. `forward`: the chain for what passes through the machine.

    `resolvers` keep answering: some clouds have theirs at the very address that gives out credentials.
    """
    refused = "icmp-port-unreachable" if family == 4 else "icmp6-port-unreachable"
    kinds = (("tcp", "tcp-reset"), ("udp", refused))
    asks = [
        ("-i", bridge, "-d", server, "-p", protocol, "--dport", "53", "-j")
        for server in resolvers
        for protocol, _ in kinds
    ]
    found: list[Rule] = []
    if guard.host:
        # Untracked, a packet is not redirected by a published port, and can be told from all others at the next stop.
        found += [Rule("raw", "PREROUTING", (*ask, "ACCEPT")) for ask in asks]
        for (protocol, how), types in product(kinds, OWN[family]):
            of = ("-i", bridge, "-p", protocol, "-m", "addrtype", "--dst-type", types)
            found.append(Rule("raw", "PREROUTING", (*of, "-j", "CT", "--notrack")))
            untracked = ("-m", "conntrack", "--ctstate", "UNTRACKED")
            found.append(Rule("filter", "INPUT", (*of, *untracked, "-j", "REJECT", "--reject-with", how)))
    if guard.link_local:
        found += [Rule("filter", forward, (*ask, "ACCEPT")) for ask in asks]
        found += [
            Rule("filter", forward, ("-i", bridge, "-d", where, "-p", protocol, "-j", "REJECT", "--reject-with", how))
            for where in LINK_LOCAL[family]
            for protocol, how in kinds
        ]
    return found


def unable() -> str | None:
    """Why rules cannot be set by this process; None where they can."""
    if os.geteuid() != 0:
        return "fnctl is not root"
    if shutil.which(COMMANDS[4], path=search_path()) is None:
        return "there is no iptables command"
    return None


def enforce(network: str, guard: Guard) -> None:
    """Set the rules of a network that is there, in place of what it had. EngineError where they cannot be; then none of
    them is left."""
    bridge = bridge_name(network)
    why = unable()
    if why is None and bridge not in (name for _, name in socket.if_nameindex()):
        why = "Docker's networks are not on this machine"
    if why is not None:
        raise cannot(why)
    forget(network)
    try:
        for family in families():
            forward = "DOCKER-USER" if _has_chain(family, "DOCKER-USER") else "FORWARD"
            # each is put first in its chain, so the last goes in first
            for rule in reversed(rules(bridge, guard, family, resolvers(family), forward)):
                run(family, ("-t", rule.table, "-I", rule.chain, "1", *rule.words))
    except EngineError:
        forget(network)
        raise


def cannot(why: str) -> EngineError:
    return EngineError(
        f"functions with `network: egress` cannot be blocked from this machine's own addresses: {why}",
        hint=HINT,
        code="egress_open",
    )


def forget(network: str) -> None:
    """Remove every rule that names its bridge. Does nothing where this process can have set none."""
    if unable() is not None:
        return
    bridge = bridge_name(network)
    for family, table in product(families(), ("raw", "filter")):
        remove(bridge, family, table, run)


def remove(bridge: str, family: int, table: str, run: Callable[[int, Sequence[str]], str]) -> None:
    """Remove the table's rules that name this bridge.

    The next run and the process that cleans up after a killed one may be at it at once: a rule that is gone when it is
    its turn is as good as removed.
    """

    def there() -> list[list[str]]:
        lines = map(shlex.split, run(family, ("-t", table, "-S")).splitlines())
        return [words[1:] for words in lines if words[:1] == ["-A"] and bridge in words]

    for rule in there():
        try:
            run(family, ("-t", table, "-D", *rule))
        except EngineError:
            if rule in there():
                raise


def families() -> list[int]:
    """Those that this machine speaks, and can filter."""
    has_v6 = Path("/proc/net/if_inet6").exists() and shutil.which(COMMANDS[6], path=search_path()) is not None
    return [4, 6] if has_v6 else [4]


def resolvers(family: int, files: Sequence[Path] = RESOLVERS) -> list[str]:
    """The name servers that this machine asks, and so the engine for its containers."""
    found: dict[str, None] = {}
    for file in files:
        try:
            lines = [line.split() for line in file.read_text().splitlines()]
        except OSError:
            continue
        for words in lines:
            if len(words) > 1 and words[0] == "nameserver":
                try:
                    address = ip_address(words[1].partition("%")[0])
                except ValueError:
                    continue
                if address.version == family and not address.is_loopback:
                    found[str(address)] = None
    return list(found)


def search_path() -> str:
    """With the system folders, which the PATH of a service often leaves out."""
    return f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin"


def _has_chain(family: int, chain: str) -> bool:
    return f"-N {chain}" in run(family, ("-t", "filter", "-S")).splitlines()


def run(family: int, words: Sequence[str]) -> str:
    argv = (COMMANDS[family], "-w", "10", *words)
    try:
        done = subprocess.run(
            argv,
            capture_output=True,
            text=True,
            timeout=COMMAND_S,
            check=False,
            env={**os.environ, "PATH": search_path()},
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise cannot(f"`{shlex.join(argv)}`: {error}") from error
    if done.returncode != 0:
        raise cannot(f"`{shlex.join(argv)}`: {done.stderr.strip()}")
    return done.stdout
