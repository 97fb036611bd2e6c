"""The file of a project's API keys: read, add, remove. One writer at a time; the gateway reads a copy."""

from __future__ import annotations

import base64
import contextlib
import fcntl
import json
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from fnctl.errors import ConflictError, FnctlError, NotFound
from fnctl.triggers.http.keyring import MOST_ACTIVE, Key, KeyKind, Keyring, new_key


class KeyFile:
    """`keys.json` of a project's state folder, readable by its user alone. Replaced whole, by a rename."""

    def __init__(self, path: Path) -> None:
        self._path = path

    def keys(self) -> tuple[Key, ...]:
        """Oldest first. FnctlError where the file is there and cannot be read as one of ours."""
        try:
            entries = json.loads(self._path.read_text(encoding="utf-8"))["keys"]
            return tuple(_key(entry) for entry in entries)
        except FileNotFoundError:
            return ()
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise FnctlError(
                f"the keys of this project cannot be read: {self._path}: {error}",
                hint="restore the file from a backup, or remove it and make new keys",
            ) from error

    def keyring(self) -> Keyring:
        return Keyring(self.keys())

    def add(self, name: str, kind: KeyKind, functions: Iterable[str], now: float) -> tuple[Key, str]:
        """A new key and the text for its holder. ConflictError where two of that name are active."""
        with self._writing():
            keys = self.keys()
            same = [key for key in keys if key.name == name]
            if len(same) >= MOST_ACTIVE:
                raise ConflictError(
                    f"{len(same)} keys named {name} are active already: {', '.join(key.id for key in same)}",
                    hint=f"`fnctl key rm {same[0].id}` removes the older one",
                )
            key, text = new_key(name, kind, functions, now)
            self._write((*keys, key))
        return key, text

    def remove(self, identity: str) -> Key:
        """By its id. NotFound names those there are."""
        if not self._path.exists():
            raise _unknown(identity, ())
        with self._writing():
            keys = self.keys()
            found = next((key for key in keys if key.id == identity), None)
            if found is None:
                raise _unknown(identity, keys)
            self._write(tuple(key for key in keys if key is not found))
        return found

    @contextlib.contextmanager
    def _writing(self) -> Iterator[None]:
        with self._path.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            yield

    def _write(self, keys: tuple[Key, ...]) -> None:
        partial = self._path.with_suffix(".partial")
        descriptor = os.open(partial, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_CLOEXEC, 0o600)
        with os.fdopen(descriptor, "w", encoding="utf-8") as file:
            json.dump({"keys": [_entry(key) for key in keys]}, file, indent=1)
            file.flush()
            os.fsync(file.fileno())
        partial.replace(self._path)


def _unknown(identity: str, keys: Iterable[Key]) -> NotFound:
    known = ", ".join(key.id for key in keys) or "none"
    return NotFound(f"no key with the id {identity}", hint=f"keys of this project: {known}")


def _entry(key: Key) -> dict[str, object]:
    return {
        "id": key.id,
        "name": key.name,
        "kind": str(key.kind),
        "functions": list(key.functions),
        "proof": base64.b64encode(key.proof).decode(),
        "created": key.created,
    }


def _key(entry: dict[str, object]) -> Key:
    functions = entry["functions"]
    if not isinstance(functions, list):
        raise TypeError("`functions` is not a list")
    return Key(
        str(entry["id"]),
        str(entry["name"]),
        KeyKind(str(entry["kind"])),
        tuple(map(str, functions)),
        base64.b64decode(str(entry["proof"]), validate=True),
        float(str(entry["created"])),
    )
