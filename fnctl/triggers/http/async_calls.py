"""Accept calls now and make them later: POST with `Prefer: respond-async` is answered with 202, an id and a `Location`
once the call is on disk. When it is made: schedule_headers.py. Its result: deferral.py.

Nothing here waits in a task of its own: the store's word on a call calls back.
"""

from __future__ import annotations

from fnctl.errors import FnctlError
from fnctl.model import Contract
from fnctl.triggers.http.call import CallRequest
from fnctl.triggers.http.deferral import JSON, STORED, Acceptor, Client, Reply, TakenWhole
from fnctl.triggers.http.found import Match
from fnctl.triggers.http.head import RequestHead
from fnctl.triggers.http.schedule_headers import timing_of
from fnctl.triggers.http.state import GatewayState

_FC = frozenset({Contract.FC_EVENT, Contract.FC_HTTP, Contract.FC3_HTTP})
# Where a platform's own field asks, its SDKs read the answer: without a body, with the id in a field of theirs.
_PLATFORMS = {
    b"x-amz-invocation-type": (frozenset({Contract.LAMBDA}), b"X-Amzn-RequestId"),
    b"x-fc-invocation-type": (_FC, b"X-Fc-Request-Id"),
}
_APPLIED = b"Preference-Applied: respond-async\r\n" + JSON


def asks_later(match: Match, head: RequestHead) -> bool:
    """Whether this request is to be answered later. A platform's own field counts for code of that platform."""
    field = head.fields.deferral
    if not field:
        return False
    platform = _PLATFORMS.get(field)
    return platform is None or match.function.contract in platform[0]


class Asked:
    """What is the same in equal requests of one connection: `head` and `match` are the same objects then."""

    __slots__ = ("field", "head", "headers", "match", "timing")

    def __init__(self, match: Match, head: RequestHead, raw: bytes, forwarded: bytes) -> None:
        """`raw`: the head as it came. `forwarded`: X-Forwarded-*. Raises UsageError."""
        self.match = match
        self.head = head
        self.field = head.fields.deferral
        self.headers = head.fields.forward + forwarded + match.headers
        self.timing = timing_of(raw)


def asked_again(last: Asked | None, match: Match, head: RequestHead) -> Asked | None:
    """The last one, if this request equals it."""
    return last if last is not None and last.head is head and last.match is match else None


class Accepting(TakenWhole):
    """One such request. A client that leaves changes nothing: its call is accepted all the same."""

    def __init__(self, gateway: GatewayState, client: Client, acceptor: Acceptor, asked: Asked) -> None:
        super().__init__(gateway, client, asked.head)
        self._acceptor = acceptor
        self._asked = asked

    def _go(self) -> None:
        asked, acceptor = self._asked, self._acceptor
        try:
            call = CallRequest(asked.head.method, asked.match.target, asked.headers, self._whole())
            when = asked.timing.when(acceptor.now())
            acceptor.accept_then(asked.match.function, call, when, self._told)
        except FnctlError as error:
            self._refuse(error)

    def _told(self, id: str | None, error: BaseException | None) -> None:
        if id is not None:
            self._answer(self._accepted(id))
        elif isinstance(error, FnctlError):
            self._refuse(error)
        else:  # a fault of ours: the client can tell by losing the connection
            self._done = True
            self._let_go()
            self._client.finished(False)
            raise error or AssertionError("neither accepted nor refused")

    def _accepted(self, id: str) -> Reply:
        platform = _PLATFORMS.get(self._asked.field)
        if platform is not None:
            return Reply(202, b"%b: %b\r\n" % (platform[1], id.encode()), b"", id)
        where = f"{STORED}{id}/{self._acceptor.token(id)}"
        said = f'{{"id": "{id}", "url": "{where}"}}\n'  # both are plain characters
        return Reply(202, b"Location: %b\r\n%b" % (where.encode(), _APPLIED), said.encode(), id)
