"""HTTP to addresses outside, by the standard library in threads. Follows no redirect."""

from __future__ import annotations

import asyncio
import urllib.error
import urllib.request
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from fnctl.openworkflow.fault import standard
from fnctl.openworkflow.world import HttpRequest, HttpResponse

THREADS = 32  # requests on their way at once; more wait
TIMEOUT_S = 60.0  # of silence; a task's own `timeout` can be shorter
MOST_BYTES = 4 << 20  # of an answer


class _Plain(urllib.request.HTTPErrorProcessor):
    """Every status is an answer."""

    def http_response(self, request: Any, response: Any) -> Any:
        return response

    https_response = http_response


class Addresses:
    """`close` when nothing asks any more. Proxies are those of the environment."""

    def __init__(self) -> None:
        self._threads = ThreadPoolExecutor(THREADS, thread_name_prefix="http")
        self._opener = urllib.request.build_opener(_Plain)

    async def request(self, request: HttpRequest) -> HttpResponse:
        """Raises Fault (communication) where there is no answer."""
        return await asyncio.get_running_loop().run_in_executor(self._threads, self._ask, request)

    def close(self) -> None:
        """What is on its way ends by itself."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _ask(self, request: HttpRequest) -> HttpResponse:
        where = f"{request.method} {request.url}"
        try:
            asked = urllib.request.Request(
                request.url, data=request.body, headers=dict(request.headers), method=request.method
            )
            with self._opener.open(asked, timeout=TIMEOUT_S) as response:
                body = response.read(MOST_BYTES + 1)
                if len(body) > MOST_BYTES:
                    raise standard(
                        "communication", f"{where}: the answer is larger than {MOST_BYTES >> 20} MiB", status=413
                    )
                headers = {name.lower(): value for name, value in response.headers.items()}
                return HttpResponse(response.status, headers, body)
        except urllib.error.URLError as error:
            raise standard("communication", f"{where}: {error.reason}", status=503) from None
        except TimeoutError:
            raise standard("communication", f"{where}: no answer within {TIMEOUT_S:g} s", status=504) from None
        except (OSError, ValueError) as error:
            raise standard("communication", f"{where}: {error}", status=503) from None
