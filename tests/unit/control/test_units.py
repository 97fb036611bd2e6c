"""The units that `fnctl install-service` writes, and how they come and go. systemd judges them in e2e."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path, PurePath

import pytest

from fnctl.control import service_units, units
from fnctl.control.units import Wanted
from fnctl.errors import FnctlError, NotFound, UsageError

SHOP = Wanted("shop", PurePath("/srv/shop"), None, PurePath("/srv/fnctl"), ("/opt/fnctl/bin/fnctl",), run_as="fnctl")


def settings(text: str) -> dict[str, list[str]]:
    """Every setting of a unit, with its values."""
    found: dict[str, list[str]] = {}
    for name, value in re.findall(r"^(\w+)=(.*)$", text, re.MULTILINE):
        found.setdefault(name, []).append(value)
    return found


def service(wanted: Wanted) -> dict[str, list[str]]:
    return settings(units.texts(wanted)[f"{wanted.name}.service"])


def test_a_service_of_the_machine() -> None:
    said = service(SHOP)
    assert said["User"] == ["fnctl"]
    assert said["WorkingDirectory"] == ["/srv/shop"]
    assert said["Environment"] == ["FNCTL_HOME=/srv/fnctl"]
    assert said["EnvironmentFile"] == ["-/etc/fnctl/shop.env"]
    assert said["ExecStart"] == ["/opt/fnctl/bin/fnctl run --quiet"]
    assert said["ExecReload"] == ["/opt/fnctl/bin/fnctl reload"]
    assert said["Requires"] == ["fnctl-shop.socket"]
    assert said["WantedBy"] == ["multi-user.target"]
    assert {"NoNewPrivileges", "ProtectSystem", "ProtectHome", "CapabilityBoundingSet"} <= set(said)
    listening = settings(units.texts(SHOP)["fnctl-shop.socket"])
    assert listening["ListenStream"] == ["127.0.0.1:8080"]
    assert listening["WantedBy"] == ["sockets.target"]


def test_what_a_service_needs_is_not_taken_from_it() -> None:
    """Slots lie below /var/tmp, linked to the home: on one mount, where Docker sees them. Root sets limits."""
    for wanted in (SHOP, replace(SHOP, run_as="root"), replace(SHOP, user_units=True)):
        said = service(wanted)
        assert "PrivateTmp" not in said and "ReadWritePaths" not in said and said.get("ProtectSystem") != ["strict"]
    assert not {"CapabilityBoundingSet", "ProtectControlGroups"} & set(service(replace(SHOP, run_as="root")))
    assert "ProtectHome" not in service(replace(SHOP, home=PurePath("/home/ada/.local/share/fnctl")))
    assert "ProtectHome" not in service(replace(SHOP, place=PurePath("/root/shop")))


def test_a_service_of_a_user() -> None:
    wanted = replace(
        SHOP, user_units=True, journal=True, options=("--warm", "5"), docker_host="unix:///run/docker.sock"
    )
    said = service(wanted)
    assert said["ExecStart"] == ["/opt/fnctl/bin/fnctl run --warm 5"]
    assert said["Environment"] == ["FNCTL_HOME=/srv/fnctl", "DOCKER_HOST=unix:///run/docker.sock"]
    assert said["EnvironmentFile"] == ["-%h/.config/fnctl/shop.env"]
    assert said["WantedBy"] == ["default.target"]
    assert not {"User", "ProtectSystem", "CapabilityBoundingSet"} & set(said), "a user's systemd cannot do these"


def test_names_mean_what_they_say_and_nothing_of_systemds() -> None:
    odd = replace(
        SHOP,
        project='a "b" $c %d/é',
        place=PurePath("/srv/100% $x y"),
        file=PurePath('/srv/a "b" $c %d.yaml'),
        host="::1",
    )
    assert odd.name == "fnctl-a-b-c-d"
    said = service(odd)
    assert said["WorkingDirectory"] == ["/srv/100%% $x y"]
    assert said["ExecStart"] == [r'/opt/fnctl/bin/fnctl run --quiet --file "/srv/a \"b\" $$c %%d.yaml"']
    assert settings(units.texts(odd)["fnctl-a-b-c-d.socket"])["ListenStream"] == ["[::1]:8080"]
    assert units.unit_name("%%%") == "fnctl-project"


@pytest.mark.parametrize("option", ["--port", "--port=1", "-p", "--host=::", "-f", "--detach", "-d", "--watch"])
def test_options_that_the_service_has_already_are_refused(option: str) -> None:
    with pytest.raises(UsageError, match="cannot be given to the service"):
        units.texts(replace(SHOP, options=("--warm", "3", option)))


class Systemctl:
    """What it was asked, in order; it refuses what it is told to."""

    def __init__(self, refuses: str = "") -> None:
        self.asked: list[str] = []
        self._refuses = refuses

    def __call__(self, words: Sequence[str]) -> None:
        self.asked.append(" ".join(words))
        if self._refuses and words[0] == self._refuses:
            raise FnctlError("refused")


def test_units_come_and_go(tmp_path: Path) -> None:
    where, asks = tmp_path / "units", Systemctl()
    texts = units.texts(SHOP)
    service_units.install(where, texts, asks)
    assert {path.name: path.read_text() for path in where.iterdir()} == texts
    assert asks.asked == ["daemon-reload", "enable --now fnctl-shop.socket fnctl-shop.service"]
    with pytest.raises(FnctlError):
        service_units.remove(where, SHOP.name, Systemctl("disable"))
    assert len(list(where.iterdir())) == 2, "what systemd would not stop stays"
    asks.asked.clear()
    service_units.remove(where, SHOP.name, asks)
    assert list(where.iterdir()) == []
    assert asks.asked == ["disable --now fnctl-shop.socket fnctl-shop.service", "daemon-reload"]
    with pytest.raises(NotFound, match="no service of this project"):
        service_units.remove(where, SHOP.name, asks)


def test_units_that_change_restart_what_runs_and_only_that(tmp_path: Path) -> None:
    asks = Systemctl()

    def asked(wanted: Wanted) -> list[str]:
        asks.asked.clear()
        service_units.install(tmp_path, units.texts(wanted), asks)
        return asks.asked[1:-1]

    assert asked(SHOP) == asked(SHOP) == []
    assert asked(replace(SHOP, journal=True)) == ["try-restart fnctl-shop.service"], "the socket stays open"
    assert asked(replace(SHOP, port=80)) == ["try-restart fnctl-shop.socket fnctl-shop.service"]


def test_where_no_unit_can_be_installed_it_is_said(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="not the service manager") as caught:
        service_units.check(user_units=False, booted=tmp_path / "none", uid=0)
    assert "--dry-run" in (caught.value.hint or "")
    with pytest.raises(UsageError, match="no permission"):
        service_units.check(user_units=False, booted=tmp_path, uid=1000)
    service_units.check(user_units=True, booted=tmp_path, uid=1000)
    service_units.check(user_units=False, booted=tmp_path, uid=0)


def test_systemctl_that_is_not_there_is_told(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(FnctlError, match="systemctl daemon-reload"):
        service_units.systemctl(user_units=False)(["daemon-reload"])
