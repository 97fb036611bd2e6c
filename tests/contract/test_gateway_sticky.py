"""The cookie by which the gateway keeps a client on its version of an alias."""

from __future__ import annotations

from pathlib import Path

from fnctl.model import SiteKey
from fnctl.triggers.http import traffic_split
from fnctl.triggers.http.routes import Routes, Shares
from tests.contract.gateway_stage import HELLO, Seen, Stage, answering, app, closing, play, split, talk

ASKED = b"GET /app/ HTTP/1.1\r\nHost: a\r\nX-Fnctl-Alias: prod\r\n%b\r\n"


def test_the_cookie_comes_with_the_first_answer_alone(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        seen: list[Seen] = []
        await made.add(app(), answering(HELLO, seen))
        table = Routes([app()], None, {"app": SiteKey("app", "1")})
        made.routes.share({b"prod": Shares(((1.0, table),), traffic_split.sticky("cookie"))})
        status, fields, body = split(await talk(made, closing(ASKED % b"")))
        assert (status, body) == (b"HTTP/1.1 200 OK", b"hello")
        cookie = fields[b"set-cookie"].partition(b";")[0]
        assert cookie.startswith(b"fnctl-prod=")
        _, fields, _ = split(await talk(made, closing(ASKED % (b"Cookie: %b\r\n" % cookie))))
        assert b"set-cookie" not in fields
        assert len(seen) == 2
        _, fields, _ = split(await talk(made, closing(b"GET /app/ HTTP/1.1\r\nHost: a\r\n\r\n")))
        assert b"set-cookie" not in fields, "it asks for no alias"

    play(tmp_path, scene)
