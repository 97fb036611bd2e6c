"""The `fnctl` entry point: runs one command line and turns how it ended into an exit code."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence

from fnctl.errors import FnctlError

EXIT_FAILURE = 1
EXIT_INTERRUPT = 130


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
        from fnctl.cli import output

        output.error(error)
        return error.exit_code
    except Exception as error:
        return _unexpected(error)


def _run(argv: Sequence[str] | None) -> int:
    import typer

    from fnctl.cli.app import command, usage_error

    try:
        code = command().main(args=argv, prog_name="fnctl", standalone_mode=False)
    except typer.Abort:
        return EXIT_INTERRUPT
    except typer.TyperException as error:
        return usage_error(error)
    return code if isinstance(code, int) else 0


def _pipe_closed() -> int:
    """Whoever read our output has gone (`fnctl logs | head`): not an error worth words.

    Python flushes stdout once more at exit and would complain there, so stdout is pointed at nothing first.
    """
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    return EXIT_FAILURE


def _unexpected(error: Exception) -> int:
    """A fault of fnctl's own. `FNCTL_DEBUG=1` shows where."""
    if os.environ.get("FNCTL_DEBUG"):
        raise error
    from fnctl.cli import output

    said = f"{type(error).__name__}: {error}" if str(error) else type(error).__name__
    output.error(FnctlError(f"unexpected failure in fnctl: {said}", hint="FNCTL_DEBUG=1 shows where it happened"))
    return EXIT_FAILURE


if __name__ == "__main__":
    sys.exit(main())
