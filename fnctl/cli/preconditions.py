"""What `fnctl run` claims before it makes anything: the project, a port, file descriptors."""

from __future__ import annotations

import errno
import resource
import socket
from typing import TYPE_CHECKING

from fnctl.cli import detached, output
from fnctl.errors import ConflictError, FnctlError

if TYPE_CHECKING:
    from fnctl.model import Project

LEAST_FILES = 256  # some 50 to begin with, 10 an instance, 2 a request in flight


def claim_project(project: Project) -> None:
    """Find out before anything is made that it is served already. ConflictError. Another home's is told, no more: the
    two have nothing in common."""
    from fnctl.control import other_runs
    from fnctl.control.holder import holder
    from fnctl.control.lock import already_running
    from fnctl.paths import ProjectPaths

    if (pid := holder(ProjectPaths.of(project.id).lock)) is not None:
        raise already_running(str(pid or ""), project.id)
    for other in other_runs.others(project.root):
        note = f"this project also runs with FNCTL_HOME={other.home} (pid {other.pid}): that run has its own data"
        if not detached.is_detached():  # the one that starts a detached run has said it
            output.notes([note])


def claim_port(host: str, port: int) -> None:
    """Find out before anything is made that it cannot be listened on. ConflictError says who has the port."""
    from fnctl.control import other_runs
    from fnctl.triggers.http.ports import cannot_listen, holder

    try:
        family, kind, proto, _, address = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
        with socket.socket(family, kind, proto) as probe:
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            probe.bind(address)
            probe.listen()
    except OSError as error:
        by = holder(port)
        other = other_runs.run_of(by.pid) if by is not None and error.errno == errno.EADDRINUSE else None
        if other is None or other.root is None:
            raise cannot_listen(error, host, port) from error
        raise ConflictError(
            f"port {port} on {host} is in use by `fnctl run` of {other.root} (pid {other.pid})",
            hint=f"`fnctl stop -f {other.root}` stops it; or choose another port with --port (0: any free port)",
            code="port_in_use",
        ) from error


def raise_descriptors() -> None:
    """A connection of a client takes a file descriptor, and so does one to an instance: use all that we may have.

    FnctlError, before anything is made, where that is too few to serve with.
    """
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < LEAST_FILES:
        raise FnctlError(
            f"open file limit is {hard}; fnctl run needs at least {LEAST_FILES}",
            hint="`ulimit -Hn` shows the limit; raise it in /etc/security/limits.conf, or with LimitNOFILE= in systemd",
            code="no_files",
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
