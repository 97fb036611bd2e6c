"""The admin API's part for versions of a release.

POST /v1/deploy?release=NAME[&probe=PATH][&to=ALIAS]
    […&canary=SHARE[&for=S][&calls=N][&errors=…][&slower=…]]
                                  let this release take over, or an alias mean it; 200 when it
                                  serves, with its version and what has changed. `probe`: asked of functions
                                  without `health` before. `canary`: on trial first, with this share of calls (of
                                  1); 409 where it failed
POST /v1/rollback[?to=N]          let a version of before take over
POST /v1/promote?from=WORD        let what an alias means, or the version of this number, take over
POST /v1/alias?name=NAME[&versions=7:90,8:10][&by=…]   let an alias mean this; without `versions`, nothing any more
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, replace
from typing import Protocol

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fnctl.control import versions
from fnctl.control.canary import Rules
from fnctl.control.changes import Applied
from fnctl.control.deployments import Choose
from fnctl.control.versions import Alias, Version
from fnctl.errors import UsageError
from fnctl.progress import Silent
from fnctl.triggers.http import traffic_split


class Releases(Protocol):
    """Each raises FnctlError, and leaves all as it was then."""

    async def deploy(self, choose: Choose, path: str = "") -> tuple[Version, Applied]: ...

    async def deploy_to(self, alias: str, choose: Choose, path: str = "") -> tuple[Version, Applied]: ...

    async def canary(self, choose: Choose, path: str, rules: Rules) -> tuple[Version, Applied]: ...

    async def alias(self, name: str, alias: Alias | None) -> None: ...

    async def promote(self, word: str) -> tuple[Version, Applied]: ...

    async def rollback(self, number: int | None) -> tuple[Version, Applied]: ...


def routes(releases: Releases) -> list[Route]:
    async def post_deploy(request: Request) -> JSONResponse:
        said = request.query_params
        release, path, to = said.get("release", ""), said.get("probe", ""), said.get("to", "")
        if path and not path.startswith("/"):
            raise UsageError(f"probe cannot be `{path[:20]}`", hint="a path, such as /health")
        if "canary" in said:
            rules = _rules(said)
            return _told(*await releases.canary(lambda there: there.fetched(release, Silent()), path, rules))
        if not to or to == versions.LATEST:
            return _told(*await releases.deploy(lambda there: there.fetched(release, Silent()), path))
        versions.check_name(to)
        return _told(*await releases.deploy_to(to, lambda there: there.fetched(release, Silent()), path))

    async def post_rollback(request: Request) -> JSONResponse:
        asked = request.query_params.get("to")
        if asked is not None and not (asked.isascii() and asked.isdigit()):
            raise UsageError(f"to cannot be `{asked[:20]}`", hint="the number of a version")
        return _told(*await releases.rollback(None if asked is None else int(asked[:9])))

    async def post_promote(request: Request) -> JSONResponse:
        return _told(*await releases.promote(request.query_params.get("from", "")))

    async def post_alias(request: Request) -> JSONResponse:
        said = request.query_params
        name, shares, by = said.get("name", ""), said.get("versions", ""), said.get("by", "")
        versions.check_name(name)
        traffic_split.sticky(by)
        await releases.alias(name, versions.alias_of(shares, by) if shares else None)
        return JSONResponse({"alias": name, "versions": shares})

    return [
        Route("/v1/deploy", post_deploy, methods=["POST"]),
        Route("/v1/rollback", post_rollback, methods=["POST"]),
        Route("/v1/promote", post_promote, methods=["POST"]),
        Route("/v1/alias", post_alias, methods=["POST"]),
    ]


def _rules(said: Mapping[str, str]) -> Rules:
    def number(name: str) -> float | None:
        if name not in said:
            return None
        try:
            value = float(said[name])
        except ValueError:
            value = -1.0
        if not 0 <= value < 1e9:
            raise UsageError(f"{name} cannot be `{said[name][:20]}`", hint="a number")
        return value

    share, calls = number("canary") or 0.0, number("calls")
    if not 0 < share < 1:
        raise UsageError(f"canary cannot be `{said['canary'][:20]}`", hint="a share of calls, more than 0 and below 1")
    rules = Rules(share, number("for"), None if calls is None else int(calls))
    if rules.for_s is None and rules.calls is None:
        raise UsageError("a canary needs an end", hint="`for` seconds, `calls`, or both")
    errors, slower = number("errors"), number("slower")
    return replace(
        rules,
        errors=rules.errors if errors is None else errors,
        slower=rules.slower if slower is None else slower,
    )


def _told(version: Version, applied: Applied) -> JSONResponse:
    return JSONResponse({"version": version.number, "release": version.name, **asdict(applied)})
