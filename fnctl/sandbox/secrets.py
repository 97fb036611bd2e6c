"""Secrets on their way from where the user keeps them to a sandbox. Their values are in no message, error or log.

In the sandbox they are the files of `/run/secrets`, as with Docker: a link leads from there to what the host has
placed, which the sandbox sees read-only. They are read anew for each instance, and go with it.
"""

from __future__ import annotations

import hashlib
import os
from collections.abc import Iterable, Mapping

from fnctl.config import authorities, dotenv
from fnctl.errors import ConfigError, LoadError
from fnctl.model import Function, Secret
from fnctl.sandbox.placement import Place

MAX_BYTES = 500 << 10  # as Docker's own (https://docs.docker.com/engine/swarm/secrets/)


def check(functions: Iterable[Function], environ: Mapping[str, str] = os.environ) -> None:
    """ConfigError, with file and line, for secrets that cannot be had: told before anything is started."""
    wrong: dict[str, None] = {}
    for secret in (secret for function in functions for secret in (*function.secrets, *_of_webhooks(function))):
        try:
            value(secret, environ)
        except ConfigError as error:
            wrong[f"{error.message} ({error.hint})"] = None
    if wrong:
        raise ConfigError("\n  ".join(["cannot read some secrets", *wrong]))


def _of_webhooks(function: Function) -> Iterable[Secret]:
    """What the host signs with, and no sandbox gets."""
    for destination in (function.deferred.on_success, function.deferred.on_failure):
        if destination is not None and destination.secret is not None:
            yield destination.secret


def give(function: Function, place: Place, environ: Mapping[str, str] = os.environ) -> None:
    """Put the function's secrets into its place (blocking). LoadError where one cannot be had any more."""
    try:
        place.give({secret.name: value(secret, environ) for secret in function.secrets})
    except ConfigError as error:
        raise LoadError(f"{function.name} did not load: {error.message}", hint=error.hint) from error


def mark(function: Function, environ: Mapping[str, str] = os.environ) -> bytes:
    """Differs where a secret of the function holds something else. ConfigError where one cannot be had."""
    whole = hashlib.sha256()
    for secret in function.secrets:
        held = value(secret, environ)
        whole.update(b"%d %d " % (len(secret.name), len(held)) + secret.name.encode() + held)
    return whole.digest()


def value(secret: Secret, environ: Mapping[str, str]) -> bytes:
    """What the secret holds now, byte for byte. ConfigError says where it was looked for."""
    where = f"{secret.declared}: secret `{secret.name}`"
    if secret.authorities:
        try:
            return authorities.bundle(secret.file, environ)
        except OSError as error:
            hint = "`ca` is relative to its fnctl.yaml"
            raise ConfigError(
                f"{secret.declared}: {secret.file} cannot be read: {error.strerror}", hint=hint
            ) from error
    if secret.file is None:
        held = _variable(secret, environ)
        if held is None:
            raise ConfigError(
                f"{where}: {secret.variable} is not set", hint=f"export {secret.variable}=…, or set it in .env"
            )
    else:
        try:
            held = secret.file.read_bytes()
        except OSError as error:
            raise ConfigError(
                f"{where}: {secret.file} cannot be read: {error.strerror}", hint="`file` is relative to its fnctl.yaml"
            ) from error
    if len(held) > MAX_BYTES:
        raise ConfigError(
            f"{where} is larger than {MAX_BYTES >> 10} KiB", hint="put large files into the function's folder"
        )
    return held


def _variable(secret: Secret, environ: Mapping[str, str]) -> bytes | None:
    """The environment wins over `.env`, as for everything else."""
    name = secret.variable or ""
    found = environ.get(name)
    if found is None and secret.env_file.is_file():
        found = dotenv.read(secret.env_file, secret.env_file.name, environ)[0].get(name)
    return None if found is None else os.fsencode(found)
