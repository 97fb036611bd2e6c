"""What keeps sandboxes from this machine, over IPv6 too, on a bridge that the engine has made."""

from __future__ import annotations

import secrets
import socket
from collections.abc import Iterator
from contextlib import closing

import pytest

from fnctl.engine import host_rules
from fnctl.engine.docker import DockerEngine
from fnctl.engine.port import LABEL, Guard
from fnctl.errors import EngineError
from fnctl.model import SandboxSpec
from tests.support.command import docker

pytestmark = pytest.mark.engine

# Where each connection leads; seccomp and capabilities are those of any sandbox.
PROGRAM = r"""
use IO::Socket::IP;
for my $place (@ARGV) {
    my ($host, $port) = $place =~ /^(.*),(\d+)$/;
    my $socket = IO::Socket::IP->new(PeerHost => $host, PeerPort => $port, Timeout => 3);
    print "$host ", ($socket ? "connected" : "$@"), "\n";
}
"""


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    with closing(DockerEngine()) as made:
        yield made


@pytest.fixture
def network(engine: DockerEngine) -> Iterator[str]:
    """As `ensure_network` makes one, with IPv6, which the engine gives to those alone that ask for it."""
    name, prefix = f"fnctl-test-{secrets.token_hex(4)}", f"fd{secrets.token_hex(1)}:{secrets.token_hex(2)}:"
    bridge = f"com.docker.network.bridge.name={host_rules.bridge_name(name)}"
    space = ("--ipv6", "--subnet", f"{prefix}:/64", "--gateway", f"{prefix}:1")
    docker("network", "create", "--label", f"{LABEL}=1", *space, "-o", bridge, name)
    yield name
    engine.remove_network(name)
    assert rules(name) == []


def rules(network: str) -> list[str]:
    said = [
        host_rules.run(family, ("-t", table, "-S")) for family in host_rules.families() for table in ("raw", "filter")
    ]
    return [line for lines in said for line in lines.splitlines() if host_rules.bridge_name(network) in line.split()]


def asked(engine: DockerEngine, network: str, *places: str) -> dict[str, str]:
    spec = SandboxSpec(
        f"fnctl-test-{secrets.token_hex(4)}", "fnctl/base:trixie", ("/usr/bin/perl", "-e", PROGRAM, *places),
        ((LABEL, "1"),), 65432, (), network=network,
    )  # fmt: skip
    lines = engine.run(spec, timeout_s=30).output.splitlines()
    return dict(line.split(" ", 1) for line in lines if " " in line)


def test_both_families_are_refused_at_once_and_neighbours_still_found(engine: DockerEngine, network: str) -> None:
    form = "{{range .IPAM.Config}}{{.Gateway}} {{end}}"
    gateways = docker("network", "inspect", "--format", form, network).split()
    four = next(each for each in gateways if "." in each)
    six = next(each for each in gateways if ":" in each)
    with socket.create_server(("::", 0), family=socket.AF_INET6, dualstack_ipv6=True) as server:
        port = server.getsockname()[1]
        places = [f"{four},{port}", f"{six},{port}"]
        assert asked(engine, network, *places) == {four: "connected", six: "connected"}
        host_rules.enforce(network, Guard())
        told = asked(engine, network, *places, "169.254.169.254,80", "fd00:ec2::254,80")
        assert set(told) == {four, six, "169.254.169.254", "fd00:ec2::254"}
        assert told.pop("fd00:ec2::254") != "connected"  # where this machine has no IPv6, there is no way to it
        assert all("refused" in answer for answer in told.values()), told
        host_rules.enforce(network, Guard(host=False))  # again, with other words: in place of what there was
        assert asked(engine, network, *places) == {four: "connected", six: "connected"}


def test_where_it_cannot_be_enforced_there_is_no_network() -> None:
    def enforce(network: str, guard: Guard) -> None:
        raise host_rules.cannot("fnctl is not root")

    name = f"fnctl-test-{secrets.token_hex(4)}"
    with closing(DockerEngine(enforce=enforce)) as engine:
        with pytest.raises(
            EngineError, match="cannot be blocked from this machine's own addresses: fnctl is not"
        ) as caught:
            engine.ensure_network(name, internal=False, labels={"dev.fnctl.test": name}, guard=Guard())
        assert "egress: {host: true, link_local: true}" in (caught.value.hint or "")
        assert engine.networks({"dev.fnctl.test": name}) == {}
