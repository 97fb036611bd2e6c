"""Static files of a Django project, its admin's among them, as `manage.py runserver` serves them. No more of Django.

A server such as gunicorn leaves them to whoever stands before it, and nobody does here.
"""

from __future__ import annotations

TYPE_CHECKING = False
if TYPE_CHECKING:
    from typing import Any

_HANDLERS = ("django.core.handlers.wsgi", "django.core.handlers.asgi")
APP = "django.contrib.staticfiles"


def with_static_files(app: Any) -> Any:
    """The app, with the files of its static folders before it; the app itself where it is no Django, or needs none."""
    if type(app).__module__ not in _HANDLERS:
        return app
    from django.conf import settings

    served = any("whitenoise" in each for each in settings.MIDDLEWARE)
    if served or APP not in settings.INSTALLED_APPS or not getattr(settings, "STATIC_URL", None):
        return app
    from django.contrib.staticfiles.handlers import ASGIStaticFilesHandler, StaticFilesHandler

    if type(app).__module__ == _HANDLERS[0]:
        return _Wsgi(app, StaticFilesHandler(app))
    return _Asgi(app, ASGIStaticFilesHandler(app))


def _is_file(files: Any, path: str) -> bool:
    """Whether the path is that of a file in a static folder: any other is the app's, which may serve it itself."""
    from django.contrib.staticfiles import finders

    return bool(files._should_handle(path) and finders.find(files.file_path(path)))


class _Wsgi:
    def __init__(self, app: Any, files: Any) -> None:
        self._app = app
        self._files = files

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        path, prefix = environ.get("PATH_INFO", ""), environ.get("SCRIPT_NAME", "")
        for whole in (prefix + path, path):
            if _is_file(self._files, whole.encode("latin-1").decode("utf-8", "replace")):
                return self._files({**environ, "SCRIPT_NAME": "", "PATH_INFO": whole}, start_response)
        return self._app(environ, start_response)


class _Asgi:
    def __init__(self, app: Any, files: Any) -> None:
        self._app = app
        self._files = files

    async def __call__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        if scope["type"] == "http":
            for whole in (scope["path"], scope["path"].removeprefix(scope.get("root_path", ""))):
                if _is_file(self._files, whole):
                    await self._files({**scope, "root_path": "", "path": whole}, receive, send)
                    return
        await self._app(scope, receive, send)
