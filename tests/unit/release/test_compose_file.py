"""A project as a compose file: values are referred to, limits are kept, and what compose cannot do is said."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from fnctl import catalog
from fnctl.model import Auth, Function, Network, Secret, Service, TimerTrigger
from fnctl.release import document
from fnctl.release.compose_file import compose_file, left_out
from fnctl.release.document import Document

WEB = Function("web-app", Path("/p"), "node24", "index.handler", network=Network.SERVICES, health="/ok")
DATA = catalog.service_types()["data"]


def said(*functions: Function, **written: str) -> Document:
    shipped = [document.shipped(each, "sha256:1", 1, 1, written) for each in functions]
    return Document(None, "1", tuple(shipped), (Service("store", "data"),), ())


def test_values_are_referred_to_and_never_written() -> None:
    secrets = (
        Secret("key", file=Path("/p/keys/key.txt"), variable=None, env_file=Path("/p/.env"), declared="f"),
        Secret("token", file=None, variable="TOKEN", env_file=Path("/p/.env"), declared="f"),
    )
    function = replace(WEB, environment=(("A", "resolved"), ("B", "hidden")), secrets=secrets)
    made = compose_file(said(function, A="${HOME:-x}"), {"web-app": "r.io/web@sha256:1"}, [], 8080, Path("/p/deploy"))
    web = made["services"]["web-app"]
    assert web["environment"] == {"A": "${HOME:-x}", "B": None}  # None: from where compose runs
    assert web["secrets"] == ["key", "token"]
    assert made["secrets"] == {"key": {"file": "../keys/key.txt"}, "token": {"environment": "TOKEN"}}
    assert "hidden" not in str(made)
    assert "resolved" not in str(made)


def test_each_function_has_a_port_and_its_limits() -> None:
    two = replace(WEB, name="two", memory_mb=512, cpus=0.5, network=Network.NONE, health="")
    made = compose_file(
        said(WEB, two), {"web-app": "a", "two": "b"}, [(Service("store", "data"), DATA, "s")], 9000, Path("/p")
    )
    web, other, store = (made["services"][name] for name in ("web-app", "two", "store"))
    assert (web["ports"], other["ports"]) == (
        ["127.0.0.1:${WEB_APP_PORT:-9000}:8080"],
        ["127.0.0.1:${TWO_PORT:-9001}:8080"],
    )
    assert (other["mem_limit"], other["memswap_limit"], other["cpus"]) == ("512m", "512m", 0.5)
    for each in (web, other, store):
        assert (each["read_only"], each["cap_drop"]) == (True, ["ALL"])
    assert (web["networks"], "networks" in other, store["networks"]) == (["default", "services"], False, ["services"])
    assert made["networks"]["services"] == {"internal": True}
    assert store["volumes"] == ["store-data:/data"]
    assert "healthcheck" not in other
    assert "$s" not in web["healthcheck"]["test"][-1].replace("$$", "")


def test_what_compose_cannot_do_is_said() -> None:
    function = replace(WEB, auth=Auth.KEY, network=Network.NONE, triggers=(TimerTrigger(cron="0 3 * * *"),))
    assert left_out(said(function)) == [
        "web-app: nothing calls it by its timer triggers",
        "web-app: `auth: key` is not checked: anybody who reaches its port calls it",
        "web-app: `network: none` is not kept: a port needs a network",
    ]
    assert left_out(said(WEB)) == []
