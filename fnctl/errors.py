"""The error tree: what went wrong, on what, what was found, and a hint. Not the printing of it.

FnctlError                    exit  HTTP
├── UsageError                 2    400   the command line or the request is not valid
│   └── ConfigError            2    400   fnctl.yaml is not valid; with file and line
├── NotFound                   2    404   no such function, project or template
├── EngineError                1    503   Docker refused, or did not answer in time
│   ├── EngineUnavailable      1    503   no Docker Engine answers
│   └── ImageNotFound          1    503   Docker has no such image
├── RegistryError              1    502   a registry refused, or did not answer as registries do
├── ReleaseError               1    502   a release is damaged, or is none that this fnctl can use
├── BackupError                1    500   a backup is damaged, or is none that this fnctl can use
├── BuildError                 1    500   a build step failed; the previous version stays
├── ConflictError              1    409   already in use: port, project, name
├── Forbidden                  1    403   a function calls one that it may not call
├── CallLoop                   1    508   functions that call each other without an end
├── LoadError                  1    502   the function's code did not load
├── FunctionError              1    502   crash, out of memory, bad response
├── TooLarge                   1    413   the request body is too large
├── QueueFull                  1    429   the function's queue is full
├── NoCapacity                 1    503   no instance can be started now
├── ServiceDown                1    503   a service that the function needs is not running
├── DeadlineExceeded         124    504   a deadline passed; `code` names which
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


class RegistryError(FnctlError):
    """`code` is one of registry, registry_denied (the login), registry_missing, registry_unavailable."""

    http_status = 502
    code = "registry"


class ReleaseError(FnctlError):
    http_status = 502
    code = "release"


class BackupError(FnctlError):
    code = "backup"


class BuildError(FnctlError):
    code = "build"


class ConflictError(FnctlError):
    http_status = 409
    code = "conflict"


class Forbidden(FnctlError):
    http_status = 403
    code = "forbidden"


class CallLoop(FnctlError):
    """A call that waits for itself, or a chain of calls that is too long. The message shows the chain."""

    http_status = 508
    code = "call_loop"


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


class ServiceDown(FnctlError):
    """The function failed while one of the project's services was down."""

    http_status = 503
    code = "service_down"


class DeadlineExceeded(FnctlError):
    """`code` names which deadline: timeout, idle and max_duration (the function's), load_timeout, queue_timeout,
    build_timeout."""

    exit_code = 124
    http_status = 504
    code = "timeout"


class ProtocolError(FnctlError):
    http_status = 502
    code = "protocol"
