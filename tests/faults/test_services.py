"""Services that end by another's hand, what functions are told meanwhile, and what each kind of network reaches."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
from collections.abc import Iterator
from functools import partial
from pathlib import Path
from signal import SIGSTOP
from typing import Any

import pytest

from fnctl.engine.host_rules import bridge_name
from tests.faults import rig
from tests.faults.rig import Answer, Desk, Running
from tests.support.command import docker
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

PROJECT = """
x-node: &node {path: node, runtime: node24, handler: reach.handler}
x-python: &python {path: python, runtime: python3.13, handler: reach.handler}
functions:
  node: {<<: *node, network: services}
  python: {<<: *python, network: services, model: ephemeral}
  outside: {<<: *node, network: egress}
  outside-python: {<<: *python, network: egress, model: ephemeral}
  trusted: {<<: *node, network: egress, egress: {host: true}}
  alone: {<<: *node}
services:
  data: {type: data}
  stuck: {type: data}
"""
SOON_MS = 1000  # a call that cannot reach a service says so by then


@pytest.fixture(scope="module")
def desk() -> Iterator[Desk]:
    with rig.desk() as made:
        (made.project / "fnctl.yaml").write_text(PROJECT)
        yield made


@pytest.fixture(scope="module")
def shop(desk: Desk) -> Iterator[Running]:
    with rig.running(desk) as running:
        # It takes its time to be found: the last test that asks for it waits for what is left.
        os.kill(int(docker("inspect", "--format", "{{.State.Pid}}", service(running, "stuck")["sandbox"])), SIGSTOP)
        yield running
        running.audit()
        assert rules_of(desk)
        bridges = rules_of(desk)
        running.stop()
    assert bridges
    assert rules_of(desk) == []
    docker("volume", "rm", volume(desk), volume(desk, "stuck"))


def networks(desk: Desk) -> list[str]:
    ours = f"label=dev.fnctl.home={(desk.home / 'id').read_text()}"
    return docker("network", "ls", "--format", "{{.Name}}", "--filter", ours).split()


BRIDGES: set[str] = set()  # all that were seen


def rules_of(desk: Desk) -> list[str]:
    """The rules of the machine's packet filter that name a bridge of this home, now or before."""
    BRIDGES.update(bridge_name(name) for name in networks(desk))
    said = [run(command, "-t", table, "-S") for command in ("iptables", "ip6tables") for table in ("raw", "filter")]
    return [line for lines in said for line in lines.splitlines() if BRIDGES & set(line.split())]


def run(*words: str) -> str:
    environment = {**os.environ, "PATH": f"{os.environ['PATH']}:/usr/sbin:/sbin"}
    return subprocess.run(words, capture_output=True, text=True, check=True, env=environment).stdout


def volume(desk: Desk, name: str = "data") -> str:
    return f"fnctl-{(desk.home / 'id').read_text()}-{desk.state.name}-{name}"


def service(shop: Running, name: str = "data") -> dict[str, Any]:
    (row,) = (each for each in shop.status()["services"] if each["name"] == name)
    return dict(row)


def asked(shop: Running, function: str, host: str = "data", port: int = 80, **query: str) -> Answer:
    words = "&".join([f"host={host}", f"port={port}", *(f"{key}={value}" for key, value in query.items())])
    return shop.call(function, f"/?{words}")


@pytest.mark.parametrize("function", ["node", "python", "outside"])
def test_functions_on_a_network_reach_a_service_by_its_name(shop: Running, function: str) -> None:
    answer = asked(shop, function).json
    assert (answer["connected"], answer.get("address")) == (True, service(shop)["address"]), answer


def test_a_function_without_a_network_does_not_even_find_it(shop: Running) -> None:
    assert asked(shop, "alone").json["connected"] is False
    assert asked(shop, "alone", service(shop)["address"]).json["connected"] is False


@pytest.mark.parametrize("words", [("kill",), ("rm", "-f")], ids=lambda words: words[0])
def test_a_service_that_somebody_ends_is_made_anew(shop: Running, words: tuple[str, ...]) -> None:
    before = service(shop)
    held = {name: shop.call(name, "/?host=data").json["connected"] for name in ("node", "python", "outside")}
    assert set(held.values()) == {True}
    docker(*words, before["sandbox"])
    until(lambda: service(shop)["restarts"] > before["restarts"], "the service to be made anew")
    after = service(shop)
    assert after["state"] == "up"
    assert after["sandbox"] != before["sandbox"]
    for function in ("node", "python", "outside"):  # instances that ran before, and know it by its name
        assert asked(shop, function).json["address"] == after["address"]


def test_while_it_is_down_calls_are_told_at_once_which_service_and_why(shop: Running) -> None:
    """The engine is kept from making it anew by a container that has its name."""
    row = service(shop)
    name = docker("inspect", "--format", "{{.Name}}", row["sandbox"]).strip().removeprefix("/")
    image = docker("inspect", "--format", "{{.Config.Image}}", row["sandbox"]).strip()
    docker("rename", row["sandbox"], f"{name}-old")
    other = docker("create", "--name", name, image, "/bin/true").strip()
    try:
        docker("kill", row["sandbox"])
        until(lambda: service(shop)["state"] == "down", "the service to be found down")
        for function in ("node", "python", "outside"):
            answer = asked(shop, function).json
            assert answer["connected"] is False
            assert answer["ms"] < SOON_MS
        for function in ("node", "python"):
            answer = asked(shop, function, throws="1")
            assert (answer.status, answer.error["code"]) == (503, "service_down"), answer.body
            assert "the service data was down" in answer.error["message"]
            assert "fnctl logs data" in answer.error["hint"]
            assert answer.headers["Retry-After"] == "1"
        assert "name" in until(lambda: service(shop)["found"] if "use" in service(shop)["found"] else "", "the reason")
        shown = shop.desk.fnctl("ps").stdout
        assert "data" in shown and "down" in shown
    finally:
        docker("rm", "-f", other)
    until(lambda: service(shop)["state"] == "up", "the service to be up again", 60)
    until(lambda: asked(shop, "node").json["connected"], "calls to reach it")


def test_its_output_is_a_log_like_a_functions(shop: Running) -> None:
    def lines() -> list[str]:
        return [entry["text"] for entry in shop.desk.lines("data") if entry["kind"] == "line"]

    until(lines, "what the service printed")
    shown = shop.desk.fnctl("logs", "data", "--tail", "1")
    assert shown.returncode == 0, shown.stderr
    assert shown.stdout.split(" ")[1] == "data"


# -- what egress reaches -----------------------------------------------------------------------------------------------


def own_addresses() -> list[str]:
    """Of this machine, as the kernel has them: of the functions' bridges and of everything else."""
    before, found = "", set()
    for line in Path("/proc/net/fib_trie").read_text().splitlines():
        if "host LOCAL" in line:
            found.add(before.split()[-1])
        before = line
    return sorted(address for address in found if not address.startswith("127."))


@pytest.fixture
def listener() -> Iterator[int]:
    """A program on this machine, on all its addresses."""
    with socket.create_server(("0.0.0.0", 0), backlog=16) as server:
        yield server.getsockname()[1]


@pytest.mark.parametrize("function", ["outside", "outside-python"])
def test_egress_is_kept_from_the_machine_itself(shop: Running, listener: int, function: str) -> None:
    addresses = own_addresses()
    assert len(addresses) >= 2
    for address in addresses:
        answer = asked(shop, function, address, listener).json
        assert (answer["connected"], answer["ms"] < SOON_MS) == (False, True), answer
        answer = asked(shop, "trusted", address, listener).json
        assert answer["connected"] is True, answer


def test_egress_is_kept_from_ports_that_containers_publish_on_the_machine(shop: Running) -> None:
    row = service(shop)
    image = docker("inspect", "--format", "{{.Config.Image}}", row["sandbox"]).strip()
    program = ("/usr/bin/python3", "-m", "http.server", "8000")
    other = docker("run", "-d", "-p", "8000", "--entrypoint", program[0], image, *program[1:]).strip()
    try:
        port = int(docker("port", other, "8000").splitlines()[0].rpartition(":")[2])
        for address in own_addresses():
            until(partial(reaches, address, port), "the published port")
            answer = asked(shop, "outside", address, port).json
            assert (answer["connected"], answer["ms"] < SOON_MS) == (False, True), answer
    finally:
        docker("rm", "-f", other)


def reaches(address: str, port: int) -> bool:
    try:
        socket.create_connection((address, port), 1).close()
    except OSError:
        return False
    return True


@pytest.mark.parametrize("function", ["outside", "outside-python", "trusted"])
def test_egress_is_kept_from_where_clouds_give_out_credentials(shop: Running, function: str) -> None:
    answer = asked(shop, function, "169.254.169.254").json
    assert (answer["connected"], answer["ms"] < SOON_MS) == (False, True), answer
    assert "refused" in answer["error"].lower(), answer


def test_another_home_in_the_same_folder_harms_nothing_of_this_one(shop: Running) -> None:
    """Not when it starts, which removes what was left, nor when it is killed, nor when it stops; data is apart."""
    mine, data = service(shop)["sandbox"], volume(shop.desk)
    other = Desk(shop.desk.project, shop.desk.home.parent / "home2", shop.desk.environment)
    with rig.running(other, warm=1) as theirs:
        assert theirs.desk.state.name == shop.desk.state.name
        assert f"also runs with FNCTL_HOME={shop.desk.home} (pid {shop.process.pid})" in theirs.said.read_text()
        assert asked(theirs, "node").json["address"] != service(shop)["address"]
        theirs.signal(signal.SIGKILL)
        theirs.process.wait(5)
    with rig.running(other, warm=1) as theirs:
        assert service(theirs)["state"] == "up"
        theirs.process.terminate()
        assert theirs.process.wait(60) == 0
    assert (service(shop)["sandbox"], service(shop)["restarts"] >= 0) == (mine, True)
    assert asked(shop, "node").json["connected"] is True
    assert data in docker("volume", "ls", "-q").split()
    docker("volume", "rm", volume(other), volume(other, "stuck"))
    shop.audit()


def test_one_that_hangs_is_told_and_restarted(shop: Running) -> None:
    """Stopped (SIGSTOP): it lives, the kernel makes its connections, and nobody accepts them."""

    def told() -> list[str]:
        return [entry["text"] for entry in shop.desk.lines("stuck") if entry["kind"] == "line"]

    def is_known() -> bool:
        row = service(shop, "stuck")
        return row["restarts"] > 0 or (row["state"], "accepted no connection" in row["found"]) == ("unresponsive", True)

    until(is_known, "the service to be found unresponsive", 90)
    until(lambda: service(shop, "stuck")["restarts"] > 0, "the service to be restarted", 90)
    until(lambda: service(shop, "stuck")["state"] == "up", "the service to be up")
    for said in ("service stuck: ", "service stuck is restarted: "):
        assert any(line.startswith(f"{said}port 80 has accepted no connection for ") for line in told())
    assert asked(shop, "node", "stuck").json["connected"] is True
    assert service(shop)["state"] == "up", "the other one is let alone"
