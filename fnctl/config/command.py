"""`command:` of fnctl.yaml: a line or a list → a program's words, and whether the first is there. Reads names only."""

from __future__ import annotations

import contextlib
import os
import shlex
from pathlib import Path

# Where dependencies are installed when the function is built: what lies there is not in the folder yet.
_BUILT = ("node_modules/", ".fnctl/")
_SHELLS = {"sh", "bash", "dash", "zsh", "ash"}
_LINE = 4096


def command_words(value: object) -> tuple[str, ...]:
    """The words. A line is split by the rules of POSIX shells for quotes; nothing else of a shell is done to it.

    ValueError (`what; hint`) for what is no command.
    """
    if isinstance(value, str):
        try:
            words = tuple(shlex.split(value))
        except ValueError as error:
            raise ValueError(f"cannot be split into words: {str(error).lower()}; close the quote") from error
    elif isinstance(value, list | tuple):
        if not all(isinstance(word, str | int | float) and not isinstance(word, bool) for word in value):
            raise ValueError("contains something that is not text; quote words that YAML reads as something else")
        words = tuple(str(word) for word in value)
    else:
        raise ValueError("is neither a list of words nor one line; write [gunicorn, app:app] or gunicorn app:app")
    if not words or not words[0]:
        raise ValueError("names no program; write the program and its arguments: [gunicorn, app:app]")
    if any("\0" in word for word in words):
        raise ValueError("contains a NUL character, which no program can receive")
    return words


def windows_script(words: tuple[str, ...], folder: Path) -> str | None:
    """The first word that is a script of the folder with Windows' line endings: no kernel finds an interpreter whose
    name ends in a carriage return, and shells take that for a part of each word."""
    shell = os.path.basename(words[0]) in _SHELLS  # noqa: PTH119
    for at, word in enumerate(words):
        path = folder / word
        with contextlib.suppress(OSError, ValueError):
            if path.is_file() and path.resolve().is_relative_to(folder):
                with path.open("rb") as file:
                    line = file.readline(_LINE)
                if line.endswith(b"\r\n") and (line.startswith(b"#!") or (shell and at > 0)):
                    return word
    return None


def unfit_program(word: str, folder: Path) -> tuple[str, str] | None:
    """What is wrong with a command's first word, and a hint. Only a word with a slash is a file of the folder; what
    stands on the PATH shows in the sandbox."""
    if "/" not in word or os.path.isabs(word) or os.path.normpath(word).startswith(_BUILT):  # noqa: PTH117
        return None
    path = (folder / word).resolve()
    if not path.is_relative_to(folder):
        return f"`{word}` is outside of its folder", "put the program into the folder `path`"
    if not path.is_file():
        hint = "with a slash it must be a file in the folder `path`; without one it is looked up in PATH"
        return f"`{word}` is not in {folder.name}/", hint
    if not os.access(path, os.X_OK):
        return f"`{word}` is not executable", f"chmod +x {word}"
    return None
