"""Secrets on their way from where the user keeps them into a slot. Their values are in no message, error or log.

In the sandbox they are the files of `/run/secrets`, as with Docker: a link leads from there to the slot's folder, which
the sandbox sees read-only. They are read anew for each instance, and go with its slot.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping

from fnctl.config import dotenv
from fnctl.errors import ConfigError, LoadError
from fnctl.model import Function, Secret
from fnctl.runtime.slot import Slot

MAX_BYTES = 500 << 10  # as Docker's own (https://docs.docker.com/engine/swarm/secrets/)


def check(functions: Iterable[Function], environ: Mapping[str, str] = os.environ) -> None:
    """ConfigError, with file and line, for secrets that cannot be had: told before anything is started."""
    wrong: dict[str, None] = {}
    for secret in (secret for function in functions for secret in function.secrets):
        try:
            value(secret, environ)
        except ConfigError as error:
            wrong[f"{error.message} ({error.hint})"] = None
    if wrong:
        raise ConfigError("\n  ".join(["some secrets cannot be had", *wrong]))


def give(function: Function, slot: Slot, environ: Mapping[str, str] = os.environ) -> None:
    """Put the function's secrets into the slot (blocking). LoadError where one cannot be had any more."""
    try:
        slot.give({secret.name: value(secret, environ) for secret in function.secrets})
    except ConfigError as error:
        raise LoadError(f"{function.name} did not load: {error.message}", hint=error.hint) from error


def value(secret: Secret, environ: Mapping[str, str]) -> bytes:
    """What the secret holds now, byte for byte. ConfigError says where it was looked for."""
    where = f"{secret.declared}: secret `{secret.name}`"
    if secret.file is None:
        held = _variable(secret, environ)
        if held is None:
            raise ConfigError(f"{where}: {secret.variable} is not set", hint=f"export {secret.variable}=…, or in .env")
    else:
        try:
            held = secret.file.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{where}: {secret.file} cannot be read: {error.strerror}", hint="`file` is relative to its fnctl.yaml"
            ) from error
    if len(held) > MAX_BYTES:
        raise ConfigError(f"{where} is larger than {MAX_BYTES >> 10} KiB", hint="put large files into the folder")
    return held


def _variable(secret: Secret, environ: Mapping[str, str]) -> bytes | None:
    """The environment wins over `.env`, as for everything else."""
    name = secret.variable or ""
    found = environ.get(name)
    if found is None and secret.env_file.is_file():
        found = dotenv.read(secret.env_file, secret.env_file.name, environ)[0].get(name)
    return None if found is None else os.fsencode(found)
