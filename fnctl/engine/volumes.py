"""The content of a volume, as a tar: in and out by the engine's archive API. Nothing runs in the container that this
takes, so that no process can put a link in the way of what is read or written."""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import IO, Protocol

from fnctl.engine.connection import Wire
from fnctl.model import SandboxSpec

PLACE = "/volume"
TRANSFER_S = 600.0  # of silence
_PIECE = 1 << 20


class Maker(Protocol):
    """What this needs of the engine."""

    def make(self, spec: SandboxSpec) -> str: ...

    def destroy(self, sandbox: str) -> None: ...


class Volumes:
    """Reads and writes volumes."""

    def __init__(self, maker: Maker, wire: Wire) -> None:
        self._maker = maker
        self._wire = wire

    def read(self, volume: str, image: str, labels: Mapping[str, str], out: IO[bytes]) -> None:
        """See Engine.read_volume."""
        with (
            self._mounted(volume, image, labels) as sandbox,
            self._wire.stream(
                "GET", f"/containers/{sandbox}/archive", params={"path": f"{PLACE}/."}, timeout_s=TRANSFER_S
            ) as response,
        ):
            for piece in response.iter_content(_PIECE):
                out.write(piece)

    def write(self, volume: str, image: str, labels: Mapping[str, str], archive: IO[bytes]) -> None:
        """See Engine.write_volume."""
        with (
            self._mounted(volume, image, labels) as sandbox,
            self._wire.stream(
                "PUT",
                f"/containers/{sandbox}/archive",
                params={"path": PLACE},
                data=archive,
                timeout_s=TRANSFER_S,
                content_type="application/x-tar",
            ),
        ):
            pass  # the engine answers when it has taken all of it

    @contextmanager
    def _mounted(self, volume: str, image: str, labels: Mapping[str, str]) -> Iterator[str]:
        sandbox = self._maker.make(
            SandboxSpec(
                name=f"fnctl-volume-{secrets.token_hex(6)}",
                image=image,
                command=("true",),
                labels=tuple(labels.items()),
                uid=0,
                mounts=((volume, PLACE, False),),
                network=None,
            )
        )
        try:
            yield sandbox
        finally:
            self._maker.destroy(sandbox)
