"""The mails that were caught: a file each, in one folder. At most MAX_KEPT; older ones make room."""

from __future__ import annotations

import email
import email.message
import email.policy
import re
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

MAX_KEPT = 1000
FROM, TO = "X-Envelope-From", "X-Envelope-To"  # written on top of each: what was said to SMTP
_ID = re.compile(r"[0-9]{19}")


class Mails:
    """One folder's. Ids are times, so that they sort."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def keep(self, sender: str, recipients: Sequence[str], content: bytes) -> str:
        """Complete or absent; returns its id. Raises OSError where the disk does not take it."""
        id = f"{time.time_ns():019}"
        envelope = f"{FROM}: {sender}\r\n{TO}: {', '.join(recipients)}\r\n"
        unfinished = self._folder / f"{id}.part"
        unfinished.write_bytes(envelope.encode() + content)
        unfinished.replace(self._file(id))
        for old in self._ids()[MAX_KEPT:]:
            self._file(old).unlink(missing_ok=True)
        return id

    def all(self, to: str | None) -> list[dict[str, Any]]:
        """The newest first; of one recipient, where one is named."""
        found = [_told(id, raw) for id in self._ids() if (raw := self.raw(id)) is not None]
        return [mail for mail in found if to is None or to in mail["to"]]

    def raw(self, id: str) -> bytes | None:
        """As it came, below the envelope; None where there is none, or none any more."""
        try:
            return self._file(id).read_bytes() if _ID.fullmatch(id) else None
        except FileNotFoundError:
            return None

    def clear(self) -> None:
        for id in self._ids():
            self._file(id).unlink(missing_ok=True)

    def _ids(self) -> list[str]:
        return sorted((file.stem for file in self._folder.glob("*.eml")), reverse=True)

    def _file(self, id: str) -> Path:
        return self._folder / f"{id}.eml"


def _told(id: str, raw: bytes) -> dict[str, Any]:
    message = email.message_from_bytes(raw, policy=email.policy.default)
    return {
        "id": id,
        "received": datetime.fromtimestamp(int(id) / 1e9, UTC).isoformat(timespec="milliseconds"),
        "from": str(message[FROM] or ""),
        "to": [address.strip() for address in str(message[TO] or "").split(",")],
        "subject": str(message["Subject"] or ""),
        "text": _text(message),
    }


def _text(message: email.message.EmailMessage) -> str:
    """The plain text, or the HTML where there is no other; empty where it cannot be read."""
    body = message.get_body(("plain", "html"))
    try:
        return "" if body is None else str(body.get_content())
    except (LookupError, UnicodeError):  # a character set that nobody has
        return ""
