"""One request and its response on a blocking connection, whatever the application: errors, marks, the next request."""

from __future__ import annotations

import json
import socket
from collections.abc import Callable

from fnctl_agent import logs
from fnctl_agent.later import Later
from fnctl_agent.vendored import Servers
from fnctl_agent.wire import BadResponse, Gone, Request, Response, reason, requests

TYPE_CHECKING = False
if TYPE_CHECKING:
    import traceback
else:
    traceback = Later("traceback")

Application = Callable[[Request, Response], None]


def serve(sock: socket.socket, application: Application, servers: Servers, *, single: bool) -> None:
    """Answer the requests of this connection, until it ends; the first only where `single`. Closes it."""
    with sock:
        try:
            for request in requests(sock, servers):
                response = Response(sock, request, last=single)
                request.bind(response)
                with logs.during(request.invocation):
                    keep = _answer(application, request, response)
                if single or not keep:
                    return
                request.drain()
        except (Gone, OSError):
            return  # the host knows: it closed, or sees the close


def _answer(application: Application, request: Request, response: Response) -> bool:
    """True where the connection may carry another request."""
    try:
        application(request, response)
        return response.end()
    except Gone:
        return False
    except BadResponse as error:
        traceback.print_exc()
        return _answer_error(response, 502, "bad_response", error)
    except (Exception, SystemExit) as error:  # the request's root
        traceback.print_exc()
        return _answer_error(response, 500, "crash", error)


def _answer_error(response: Response, status: int, code: str, error: BaseException) -> bool:
    if response.ended:
        return response.end()  # after its answer
    if response.begun:
        return False  # half a response is out: breaking off is the only way to say so
    body = error_body(error)
    headers = [("Content-Type", "application/json"), ("X-Fnctl-Error", code)]
    response.start(status, reason(status), headers, length=len(body))
    response.send(body)
    return response.end()


def error_body(error: BaseException) -> bytes:
    return json.dumps({"error": {"type": type(error).__name__, "message": str(error)}}).encode()
