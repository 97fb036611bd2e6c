"""What gets an engine running on which machine: decisions only, nothing is run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fnctl.engine import provision as install
from fnctl.engine.provision import Command, Host
from fnctl.errors import DeadlineExceeded, EngineError, EngineUnavailable
from fnctl.progress import Silent

BARE_DEBIAN = Host(
    linux=True,
    asked_for=None,
    root=True,
    sudo=False,
    apt=True,
    dockerd=False,
    systemd=True,
    socket=False,
    socket_usable=False,
)


def words(commands: list[Command]) -> list[str]:
    return [" ".join(command.argv) for command in commands]


def test_on_debian_as_root_docker_is_installed_then_started() -> None:
    update, fetch, start = words(install.plan(BARE_DEBIAN))
    assert update.endswith("apt-get -q -y -o DPkg::Lock::Timeout=120 update")
    assert fetch.endswith("install --no-install-recommends docker.io")
    assert start == "systemctl start docker"


def test_where_the_docker_command_is_a_package_of_its_own_it_is_installed_too() -> None:
    _, fetch, _ = words(install.plan(replace(BARE_DEBIAN, command_apart=True)))
    assert fetch.endswith("install --no-install-recommends docker.io docker-cli")


def test_with_sudo_every_command_goes_through_it_and_asks_nothing() -> None:
    commands = install.plan(replace(BARE_DEBIAN, root=False, sudo=True))
    assert all(command.argv[:2] == ("sudo", "-n") for command in commands)


def test_without_systemd_the_daemon_runs_in_the_background() -> None:
    commands = install.plan(replace(BARE_DEBIAN, dockerd=True, systemd=False))
    assert commands == [Command(("dockerd",), background=True)]


@pytest.mark.parametrize(
    ("host", "message", "hint"),
    [
        (replace(BARE_DEBIAN, asked_for="tcp://there:2375"), "tcp://there:2375", "unset DOCKER_HOST"),
        (replace(BARE_DEBIAN, linux=False), "no Docker Engine answers", "Docker Desktop"),
        (replace(BARE_DEBIAN, root=False), "needs root", "as root: apt-get install docker.io"),
        (replace(BARE_DEBIAN, apt=False), "no Docker Engine on this machine", "https://docs.docker.com"),
        (replace(BARE_DEBIAN, root=False, sudo=True, socket=True), "no permission to use", "usermod -aG docker"),
    ],
    ids=["named", "mac", "user", "no-apt", "no-permission"],
)
def test_where_nothing_can_be_done_the_user_is_told_what_they_can_do(host: Host, message: str, hint: str) -> None:
    with pytest.raises(EngineUnavailable) as caught:
        install.plan(host)
    assert message in caught.value.message
    assert hint in (caught.value.hint or "")


def test_an_engine_that_the_environment_names_is_seen() -> None:
    assert install.look({"DOCKER_HOST": "unix:///x"}).asked_for == "unix:///x"
    assert install.look({"DOCKER_CONTEXT": "other"}).asked_for == "other"
    assert install.look({}).asked_for is None


def test_a_command_that_fails_is_told_with_its_output(tmp_path: Path) -> None:
    failing = Command(("sh", "-c", "echo no space left; exit 7"))
    with pytest.raises(EngineError, match="ended with 7") as caught:
        install.perform([failing, Command(("touch", str(tmp_path / "next")))], Silent(), tmp_path / "log")
    assert caught.value.detail == "no space left\n"
    assert not (tmp_path / "next").exists()


def test_an_engine_that_never_answers_is_told_with_the_end_of_its_log(tmp_path: Path) -> None:
    log = tmp_path / "dockerd.log"
    log.write_text("first\nfailed to start: no iptables\n")
    with pytest.raises(DeadlineExceeded) as caught:
        install.wait_until(lambda: False, log, timeout_s=0)
    assert "no iptables" in (caught.value.detail or "")
