"""The error tree: what went wrong, on what, what was found, and a hint. Not the printing of it.

FnctlError                    exit  HTTP
├── UsageError                 2    400   the user's input cannot be used
│   └── ConfigError            2    400   fnctl.yaml, with file and line
├── NotFound                   2    404   no such function, project, template
├── EngineError                1    503   Docker said no, or did not answer in time
│   ├── EngineUnavailable      1    503   there is no engine to talk to
│   └── ImageNotFound          1    503   the engine has no such image
├── BuildError                 1    500   a build step failed; the previous version stays
├── ConflictError              1    409   somebody else holds it: port, lock, name
├── LoadError                  1    502   the function's code did not load
├── FunctionError              1    502   crash, out of memory, bad response
├── TooLarge                   1    413   a request body past its bound
├── QueueFull                  1    429   the function's queue is at its bound
├── NoCapacity                 1    503   no instance can be had now
├── DeadlineExceeded         124    504   a named deadline passed
└── ProtocolError              1    502   an agent broke the protocol
"""

from __future__ import annotations


class FnctlError(Exception):
    """Root of every error that a user may see. `message` says what failed, on what, and what was found.

    `code` is a short stable word for machines (`oom`, `queue_full`); it stands in HTTP error bodies and logs.
    """

    exit_code = 1
    http_status = 500
    code = "error"

    def __init__(
        self,
        message: str,
        *,
        hint: str | None = None,
        detail: str | None = None,
        code: str | None = None,
        retry_after_s: int | None = None,
    ) -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint
        self.detail = detail  # longer evidence: the tool's own output, a stack trace
        self.retry_after_s = retry_after_s
        if code is not None:
            self.code = code


class UsageError(FnctlError):
    exit_code = 2
    http_status = 400
    code = "usage"


class ConfigError(UsageError):
    """A problem in a configuration file. The message starts with `file:line:` where they are known."""

    code = "config"


class NotFound(FnctlError):
    exit_code = 2
    http_status = 404
    code = "not_found"


class EngineError(FnctlError):
    http_status = 503
    code = "engine"


class EngineUnavailable(EngineError):
    code = "engine_unavailable"


class ImageNotFound(EngineError):
    code = "image_not_found"


class BuildError(FnctlError):
    code = "build"


class ConflictError(FnctlError):
    http_status = 409
    code = "conflict"


class LoadError(FnctlError):
    http_status = 502
    code = "load"


class FunctionError(FnctlError):
    """The function failed an invocation. `code` is one of crash, oom, bad_response."""

    http_status = 502
    code = "crash"


class TooLarge(FnctlError):
    http_status = 413
    code = "too_large"


class QueueFull(FnctlError):
    http_status = 429
    code = "queue_full"


class NoCapacity(FnctlError):
    http_status = 503
    code = "no_capacity"


class DeadlineExceeded(FnctlError):
    """`code` names which deadline: timeout (the function's), load_timeout, queue_timeout, build_timeout."""

    exit_code = 124
    http_status = 504
    code = "timeout"


class ProtocolError(FnctlError):
    http_status = 502
    code = "protocol"
