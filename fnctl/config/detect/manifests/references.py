"""References in other platforms' files, resolved from the file itself or told as unresolved; nothing is guessed.

AWS CloudFormation ("Intrinsic function reference"): `!Ref` and `!Sub` of a parameter with a default. Serverless
Framework ("Variables"): `${self:a.b}`, and the default of any other source. Serverless Devs ("Variables"): `${vars.x}`,
`${env('X', 'default')}`. OpenFaaS ("Environment variable substitution") and wskdeploy: `${X:-default}`.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from fnctl.config.detect.manifests.place import Resolver, Unresolved, shown
from fnctl.config.document import Tagged

_REFERENCE = re.compile(r"\$\{([^{}]*)\}")
_ENV_CALL = re.compile(r"env\(\s*['\"]?(\w+)['\"]?\s*(?:,\s*['\"]?([^'\")]*)['\"]?\s*)?\)")
_DEPTH = 8  # a reference may lead to another


def cloudformation(data: Mapping[str, Any]) -> Resolver:
    parameters = data.get("Parameters")
    known = {
        name: each["Default"]
        for name, each in (parameters.items() if isinstance(parameters, dict) else ())
        if isinstance(each, dict) and "Default" in each
    }

    def resolve(value: Any) -> Any:
        value = _short(value)
        if not isinstance(value, Tagged):
            return value
        if value.tag == "!Ref" and isinstance(value.value, str) and value.value in known:
            return known[value.value]
        if value.tag == "!Sub" and isinstance(value.value, str):
            return _REFERENCE.sub(lambda found: _from(known, found[1], f"`!Sub {value.value}`"), value.value)
        raise Unresolved(shown(value))

    return resolve


def _short(value: Any) -> Any:
    """`{Ref: X}` and `{Fn::Sub: X}` as `!Ref X` and `!Sub X`, which they are the long form of."""
    if isinstance(value, dict) and len(value) == 1:
        (key, inner) = next(iter(value.items()))
        if key == "Ref" or key.startswith("Fn::"):
            return Tagged(f"!{key.removeprefix('Fn::')}", inner)
    return value


def _from(known: Mapping[str, Any], name: str, said: str) -> str:
    if name not in known:
        raise Unresolved(said)
    return str(known[name])


def serverless_framework(data: Mapping[str, Any]) -> Resolver:
    def one(found: re.Match[str]) -> str:
        for choice in (part.strip() for part in found[1].split(",")):
            if (
                choice.startswith("self:")
                and (value := _path(data, choice.removeprefix("self:").split("."))) is not None
            ):
                return str(value)
            if len(choice) > 1 and choice[0] in "'\"" and choice[-1] == choice[0]:
                return choice[1:-1]
        raise Unresolved(f"`{found[0]}`")

    return _filling(one)


def serverless_devs(data: Mapping[str, Any]) -> Resolver:
    def one(found: re.Match[str]) -> str:
        said = found[1].strip()
        if said.startswith("vars.") and (value := _path(data, said.split("."))) is not None:
            return str(value)
        if (call := _ENV_CALL.fullmatch(said)) and call[2] is not None:
            return call[2]
        raise Unresolved(f"`{found[0]}`")

    return _filling(one)


def shell_like() -> Resolver:
    def one(found: re.Match[str]) -> str:
        name, default, value = found[1].partition(":-")
        if not default:
            raise Unresolved(f"`${{{name}}}`")
        return value

    return _filling(one)


def _filling(one: Any) -> Resolver:
    def resolve(value: Any) -> Any:
        if isinstance(value, Tagged):
            raise Unresolved(shown(value))
        for _ in range(_DEPTH):
            if not isinstance(value, str) or "${" not in value:
                break
            value = _REFERENCE.sub(one, value)
        if isinstance(value, str) and "${" in value:
            raise Unresolved(f"`{value}`")
        return value

    return resolve


def _path(data: Any, path: list[str]) -> Any:
    for key in path:
        data = data.get(key) if isinstance(data, Mapping) else None
    return data if isinstance(data, str) else None
