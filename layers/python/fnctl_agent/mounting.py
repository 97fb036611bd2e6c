"""Where an ASGI app is: `root_path`, for requests whose path had a prefix before the host took it away."""

from __future__ import annotations

import sys

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any

HEADER = b"x-forwarded-prefix"
# Their apps take `root_path` away from `path`, as the ASGI specification has it since 2023. What wraps an app, and what
# is written by hand, mostly looks at `path` alone.
_READ_WHOLE = frozenset({"starlette", "fastapi", "django", "quart", "litestar"})
_STARLETTE = (0, 33)  # before it, `path` was without


def mount(app: Any) -> Callable[[dict[str, Any], bytes], None]:
    """What tells an app the prefix of a request, in the request's scope."""
    whole = _reads_whole(app)

    def tell(scope: dict[str, Any], prefix: bytes) -> None:
        if getattr(app, "root_path", None):
            return  # it is told by its own code
        scope["root_path"] = root = prefix.decode("latin-1")
        if whole:
            scope["path"] = root + scope["path"]
            scope["raw_path"] = prefix + scope["raw_path"]

    return tell


def _reads_whole(app: Any) -> bool:
    if not any(each.__module__.partition(".")[0] in _READ_WHOLE for each in type(app).__mro__):
        return False
    starlette = sys.modules.get("starlette")
    version = str(getattr(starlette, "__version__", "")).split(".")[:2]
    return starlette is None or not all(map(str.isdigit, version)) or tuple(map(int, version)) >= _STARLETTE
