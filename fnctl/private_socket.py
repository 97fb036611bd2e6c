"""A unix socket that nobody but its user can dial: the admin API's, and the gateway's for the command line."""

from __future__ import annotations

import os
import socket
from pathlib import Path


def private_socket(path: Path) -> socket.socket:
    """Bound, of mode 0600 from its beginning. The process's umask is changed for this call alone, with no await in it:
    what other tasks make meanwhile would have no permissions."""
    path.unlink(missing_ok=True)
    bound = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    before = os.umask(0o177)
    try:
        bound.bind(str(path))
    except OSError:
        bound.close()
        raise
    finally:
        os.umask(before)
    return bound
