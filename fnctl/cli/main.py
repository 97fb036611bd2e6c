"""The `fnctl` entry point: runs one command line and turns how it ended into an exit code."""

from __future__ import annotations

import errno
import os
import sys
from collections.abc import Sequence
from itertools import pairwise

from fnctl.errors import FnctlError

EXIT_FAILURE = 1
EXIT_INTERRUPT = 130
# Errors of files that a user can do something about, and what.
_UNWRITABLE = {
    errno.EACCES: "check who owns it and its permissions (`ls -ld`), or use another folder",
    errno.EPERM: "check who owns it and its permissions (`ls -ld`), or use another folder",
    errno.EROFS: "the file system is read-only: use another folder",
    errno.ENOSPC: "the disk is full: `fnctl prune` removes what fnctl does not need any more",
    errno.EDQUOT: "your disk quota is used up: `fnctl prune` removes what fnctl does not need any more",
    errno.ENOENT: "a folder above it does not exist, or nothing can be made there",
    errno.ENOTDIR: "something above it is a file, not a folder",
    errno.EEXIST: "there is something else in its place",
    errno.ELOOP: "its symbolic links lead in a circle",
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; its exit code. 0 ok, 1 failure, 2 usage, 124 timeout, 130 interrupt."""
    try:
        code = _run(argv)
        sys.stdout.flush()
        return code
    except KeyboardInterrupt:
        return EXIT_INTERRUPT
    except BrokenPipeError:
        return _pipe_closed()
    except FnctlError as error:
        return _told(error, argv)
    except OSError as error:
        return _system(error, argv)
    except Exception as error:
        return _unexpected(error, argv)


def _told(error: FnctlError, argv: Sequence[str] | None) -> int:
    """In words on stderr; who asked for JSON finds the error on stdout too, in the shape that it has over HTTP."""
    from fnctl.cli import output

    output.error(error)
    words = list(sys.argv[1:] if argv is None else argv)
    asked = {("-o", "json"), ("--output", "json")} & set(pairwise(words)) or {"-ojson", "--output=json"} & set(words)
    if asked:
        output.emit_error(error)
    return error.exit_code


def _run(argv: Sequence[str] | None) -> int:
    import typer

    from fnctl.cli.app import command, help_wanted, usage_error

    try:
        code = command().main(args=argv, prog_name="fnctl", standalone_mode=False)
    except typer.Abort:
        return EXIT_INTERRUPT
    except typer.TyperException as error:
        if help_wanted(error):
            return error.exit_code
        raise usage_error(error) from error
    return code if isinstance(code, int) else 0


def _pipe_closed() -> int:
    """Whoever read our output has gone (`fnctl logs | head`): not an error worth words.

    Python flushes stdout once more at exit and would complain there, so stdout is pointed at nothing first.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_FAILURE


def _system(error: OSError, argv: Sequence[str] | None) -> int:
    """The system refused something about a file: a cause outside of fnctl, where it is said which file."""
    if not error.filename or os.environ.get("FNCTL_DEBUG"):
        return _unexpected(error, argv)
    from fnctl import paths

    name = os.fsdecode(error.filename) if isinstance(error.filename, str | bytes | os.PathLike) else str(error.filename)
    if error.errno in _UNWRITABLE and os.path.abspath(name).startswith(str(paths.home())):  # noqa: PTH100
        failure: FnctlError = paths.no_home(error)
    else:
        failure = FnctlError(f"{name}: {error.strerror or error}", hint=_UNWRITABLE.get(error.errno or 0))
    return _told(failure, argv)


def _unexpected(error: Exception, argv: Sequence[str] | None) -> int:
    """A fault of fnctl's own. `FNCTL_DEBUG=1` shows where."""
    if os.environ.get("FNCTL_DEBUG"):
        raise error
    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    return _told(FnctlError(f"unexpected failure in fnctl: {said}", hint="FNCTL_DEBUG=1 shows where it happened"), argv)


if __name__ == "__main__":
    sys.exit(main())
