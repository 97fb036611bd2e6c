"""Queues in SQL: one row a message. A message's state is one number, and whoever changes it also keeps the counts.

Of a group only the first message can be leased; the ones behind it stand apart (`BEHIND`) until it comes to its end, so
that a lease never looks through them. Bodies over 64 KiB lie in a table of their own: the rows that are searched stay
small.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Iterator, Sequence
from typing import Any

from fnctl.errors import QueueFull
from fnctl.store.port import ENDED, Counts, Known, Leased, Message, MessageState, Settlement
from fnctl.store.sql import COUNTED, COUNTS, Transaction
from fnctl.store.writer import Writer

SCHEMA = f"""{COUNTS}
CREATE TABLE IF NOT EXISTS messages (
  seq <NUMBERED> PRIMARY KEY,
  id <TEXT> NOT NULL UNIQUE,
  queue <TEXT> NOT NULL,
  state INTEGER NOT NULL,
  due <SECONDS> NOT NULL,
  accepted <SECONDS> NOT NULL,
  expires <SECONDS>,
  attempt INTEGER NOT NULL DEFAULT 0,
  epoch INTEGER NOT NULL DEFAULT 0,
  until <SECONDS>,
  grp <TEXT>,
  dedup <TEXT>,
  body <BYTES>,
  ended <SECONDS>,
  result <BYTES>
);
CREATE INDEX IF NOT EXISTS messages_due ON messages (queue, due, seq) WHERE state = 0;
CREATE INDEX IF NOT EXISTS messages_leased ON messages (until) WHERE state = 1;
CREATE INDEX IF NOT EXISTS messages_behind ON messages (queue, grp, seq) WHERE grp IS NOT NULL AND state IN (0, 1, 5);
CREATE UNIQUE INDEX IF NOT EXISTS messages_dedup ON messages (queue, dedup) WHERE dedup IS NOT NULL;
CREATE INDEX IF NOT EXISTS messages_ended ON messages (ended) WHERE ended IS NOT NULL;
CREATE INDEX IF NOT EXISTS messages_dead ON messages (queue, seq) WHERE state = 3;
CREATE TABLE IF NOT EXISTS bodies (seq <NUMBER> PRIMARY KEY, body <BYTES> NOT NULL);
"""
APART_BYTES = 64 << 10

WAITING, RUNNING, DONE, DEAD, CANCELLED, BEHIND = range(6)
_NUMBER = {
    MessageState.WAITING: WAITING,
    MessageState.RUNNING: RUNNING,
    MessageState.DONE: DONE,
    MessageState.DEAD: DEAD,
    MessageState.CANCELLED: CANCELLED,
}
_NAMES: tuple[MessageState, ...] = (*MessageState, MessageState.WAITING)  # by number
_INTO = "INSERT INTO messages (id, queue, state, due, accepted, expires, attempt, epoch, until, grp, dedup, body)"
_INSERT = f"{_INTO} VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
_KNOWN = "SELECT seq, id, queue, state, due, accepted, attempt, grp, ended, body, result FROM messages"


class SqlQueues:
    def __init__(self, writer: Writer) -> None:
        self._writer = writer

    def put(self, messages: Sequence[Message], most: int | None = None) -> Awaitable[list[str]]:
        return self._writer.run(lambda db: _put_all(db, messages, most))

    def put_and_lease(
        self, messages: Sequence[Message], most: int | None, now: float, until: float
    ) -> Awaitable[tuple[list[str], list[Leased]]]:
        return self._writer.run(lambda db: _put_and_lease(db, messages, most, now, until))

    async def lease(self, queue: str, limit: int, now: float, until: float) -> list[Leased]:
        return await self._writer.run(lambda db: _lease(db, queue, limit, now, until))

    async def settle(self, words: Sequence[Settlement]) -> list[bool]:
        return await self._writer.run(lambda db: [_settle(db, word) for word in words])

    async def extend(self, id: str, epoch: int, until: float, queue: str | None = None) -> bool:
        return await self._writer.run(lambda db: _extend(db, id, epoch, until, queue))

    async def reclaim(self, now: float) -> int:
        return await self._writer.run(lambda db: _reclaim(db, now))

    async def next_due(self, queue: str) -> float | None:
        return await self._writer.run(lambda db: _next_due(db, queue))

    async def oldest(self, queue: str) -> float | None:
        return await self._writer.run(lambda db: _oldest(db, queue))

    async def delayed(self, queue: str, now: float) -> int:
        later = "SELECT COUNT(*) FROM messages WHERE queue = ? AND state = 0 AND due > ?"
        return await self._writer.run(lambda db: int(db.execute(later, (queue, now)).fetchone()[0]))

    async def cancel(self, id: str, now: float) -> MessageState | None:
        return await self._writer.run(lambda db: _cancel(db, id, now))

    async def find(self, id: str) -> Known | None:
        return await self._writer.run(lambda db: next(_known(db, f"{_KNOWN} WHERE id = ?", id), None))

    async def peek(self, queue: str, state: MessageState, limit: int) -> list[Known]:
        which = f"{_KNOWN} WHERE queue = ? AND state {_states(state)} ORDER BY seq LIMIT ?"
        return await self._writer.run(lambda db: list(_known(db, which, queue, limit)))

    async def purge(self, queue: str, state: MessageState, now: float) -> int:
        return await self._writer.run(lambda db: _purge(db, queue, state, now))

    async def redrive(self, queue: str, now: float) -> int:
        return await self._writer.run(lambda db: _redrive(db, queue, now))

    async def forget(self, before: float, *, dead: bool = False) -> int:
        which = "ended < ? AND state = 3" if dead else "ended < ? AND state <> 3"
        return await self._writer.run(lambda db: _drop(db, which, before))

    async def counts(self) -> dict[str, Counts]:
        return await self._writer.run(_counts)


def _put_all(db: Transaction, messages: Sequence[Message], most: int | None) -> list[str]:
    if most is not None:
        counted = Counter(message.queue for message in messages).items() if len(messages) > 1 else [(messages[0][1], 1)]
        for queue, more in counted:
            waiting = db.waiting(queue)
            if waiting + more > most:
                raise QueueFull(
                    f"{queue}: {waiting} messages are waiting already, the maximum is {most}", retry_after_s=5
                )
    return [_put(db, message) for message in messages]


def _put(db: Transaction, message: Message) -> str:
    id, queue, body, due, accepted, expires, group, dedup, _ = message
    if dedup is not None and (same := _same(db, message)) is not None:
        return same
    state = WAITING
    if group is not None:
        db.lock(f"group {queue} {group}")
        state = BEHIND if _has_first(db, queue, group) else WAITING
    if len(body) > APART_BYTES:
        row = (id, queue, state, due, accepted, expires, 0, 0, None, group, dedup, None)
        (seq,) = db.execute(f"{_INSERT} RETURNING seq", row).fetchone()
        db.execute("INSERT INTO bodies (seq, body) VALUES (?, ?)", (seq, body))
    else:
        db.add(_INTO, (id, queue, state, due, accepted, expires, 0, 0, None, group, dedup, body))
    db.count(queue, accepted=1, waiting=1)
    return id


def _put_and_lease(
    db: Transaction, messages: Sequence[Message], most: int | None, now: float, until: float
) -> tuple[list[str], list[Leased]]:
    queue, limit = messages[0].queue, len(messages)
    if limit == 1 and (leased := _put_leased(db, messages[0], now, until)) is not None:
        return [leased.id], [leased]
    return _put_all(db, messages, most), _lease(db, queue, limit, now, until)


def _put_leased(db: Transaction, message: Message, now: float, until: float) -> Leased | None:
    """Where nothing waits, it is the oldest that is due: it runs from the first, and nothing is searched. None: it has
    a word or a group to be looked for, or something waits."""
    id, queue, body, due, accepted, expires, group, dedup, _ = message
    plain = group is None and dedup is None and len(body) <= APART_BYTES
    if not plain or due > now or db.waiting(queue):
        return None
    db.add(_INTO, (id, queue, RUNNING, due, accepted, expires, 1, 1, until, None, None, body))
    db.count(queue, accepted=1, running=1)
    return Leased(id, queue, body, due, accepted, expires, None, 1, 1, until)


def _same(db: Transaction, message: Message) -> str | None:
    """The id of an earlier message with this one's word. Where its time is over, it lets go of the word."""
    known = "SELECT seq, id, accepted FROM messages WHERE queue = ? AND dedup = ?"
    db.lock(f"dedup {message.queue} {message.dedup}")
    row = db.execute(known, (message.queue, message.dedup)).fetchone()
    if row is None:
        return None
    seq, id, accepted = row
    if message.dedup_s is None or message.accepted < accepted + message.dedup_s:
        return str(id)
    db.execute("UPDATE messages SET dedup = NULL WHERE seq = ?", (seq,))
    return None


def _has_first(db: Transaction, queue: str, group: str) -> bool:
    first = "SELECT 1 FROM messages WHERE queue = ? AND grp = ? AND state IN (0, 1, 5) LIMIT 1"
    return db.execute(first, (queue, group)).fetchone() is not None


def _lease(db: Transaction, queue: str, limit: int, now: float, until: float) -> list[Leased]:
    rows = db.execute(
        "SELECT seq, id, body, due, accepted, expires, grp, attempt, epoch FROM messages"
        f" WHERE queue = ? AND state = 0 AND due <= ? ORDER BY due, seq LIMIT ?{db.skip_locked}",
        (queue, now, limit),
    ).fetchall()
    leased = []
    for seq, id, body, due, accepted, expires, group, attempt, epoch in rows:
        leased.append(
            Leased(id, queue, _whole(db, seq, body), due, accepted, expires, group, attempt + 1, epoch + 1, until)
        )
    db.executemany(
        "UPDATE messages SET state = 1, attempt = attempt + 1, epoch = epoch + 1, until = ? WHERE seq = ?",
        [(until, row[0]) for row in rows],
    )
    if rows:
        db.count(queue, waiting=-len(rows), running=len(rows))
    return leased


def _whole(db: Transaction, seq: int, body: bytes | None) -> bytes:
    if body is None:
        row = db.execute("SELECT body FROM bodies WHERE seq = ?", (seq,)).fetchone()
        body = row[0] if row is not None else b""
    return bytes(body)


def _settle(db: Transaction, word: Settlement) -> bool:
    which = f"SELECT seq, queue, state, epoch, grp FROM messages WHERE id = ?{db.for_update}"
    row = db.execute(which, (word.id,)).fetchone()
    if row is None:
        return False
    seq, queue, state, epoch, group = row
    if state != RUNNING or epoch != word.epoch or word.queue not in (None, queue):
        return False
    if word.state in ENDED:
        db.execute(
            "UPDATE messages SET state = ?, until = NULL, ended = ?, result = ? WHERE seq = ?",
            (_NUMBER[word.state], word.at, word.result, seq),
        )
        if not word.keep:
            _drop(db, "seq = ? AND dedup IS NULL", seq)
        db.count(queue, running=-1, **{word.state.value: 1})
        _let_next(db, queue, group)
    else:
        db.execute(
            "UPDATE messages SET state = 0, until = NULL, due = ?, result = COALESCE(?, result),"
            " attempt = attempt - ? WHERE seq = ?",
            (word.due, word.result, 0 if word.counts else 1, seq),
        )
        db.count(queue, running=-1, waiting=1)
    for message in word.then:
        _put(db, message)
    return True


def _let_next(db: Transaction, queue: str, group: str | None) -> None:
    """The first of its group has come to its end: the one behind it is the first now."""
    if group is not None:
        db.lock(f"group {queue} {group}")
        db.execute(
            "UPDATE messages SET state = 0 WHERE seq ="
            " (SELECT seq FROM messages WHERE queue = ? AND grp = ? AND state IN (0, 1, 5) ORDER BY seq LIMIT 1)"
            " AND state = 5",
            (queue, group),
        )


def _extend(db: Transaction, id: str, epoch: int, until: float, queue: str | None) -> bool:
    which = "UPDATE messages SET until = ? WHERE id = ? AND epoch = ? AND state = 1"
    which, values = (which, ()) if queue is None else (f"{which} AND queue = ?", (queue,))
    return db.execute(f"{which} RETURNING seq", (until, id, epoch, *values)).fetchone() is not None


def _reclaim(db: Transaction, now: float) -> int:
    rows = db.execute(
        "UPDATE messages SET state = 0, until = NULL WHERE state = 1 AND until <= ? RETURNING queue", (now,)
    ).fetchall()
    for (queue,) in rows:
        db.count(queue, running=-1, waiting=1)
    return len(rows)


def _next_due(db: Transaction, queue: str) -> float | None:
    row = db.execute("SELECT due FROM messages WHERE queue = ? AND state = 0 ORDER BY due, seq LIMIT 1", (queue,))
    first = row.fetchone()
    return None if first is None else float(first[0])


def _cancel(db: Transaction, id: str, now: float) -> MessageState | None:
    which = f"SELECT seq, queue, state, grp FROM messages WHERE id = ?{db.for_update}"
    row = db.execute(which, (id,)).fetchone()
    if row is None:
        return None
    seq, queue, state, group = row
    if state not in (WAITING, BEHIND):
        return _NAMES[int(state)]
    db.execute("UPDATE messages SET state = 4, ended = ? WHERE seq = ?", (now, seq))
    db.count(queue, waiting=-1, cancelled=1)
    _let_next(db, queue, group)
    return MessageState.CANCELLED


def _purge(db: Transaction, queue: str, state: MessageState, now: float) -> int:
    if state is MessageState.RUNNING:
        return 0  # it is somebody's
    if state is not MessageState.WAITING:
        return _drop(db, f"queue = ? AND state {_states(state)}", queue)
    gone = db.execute(
        "UPDATE messages SET state = 4, ended = ? WHERE queue = ? AND state IN (0, 5) RETURNING seq", (now, queue)
    ).fetchall()
    if gone:
        db.count(queue, waiting=-len(gone), cancelled=len(gone))
    return len(gone)


def _oldest(db: Transaction, queue: str) -> float | None:
    """By the index that each state has. What was redriven does not expire."""
    which = ("state = 0", "state = 1", "state = 5 AND grp IS NOT NULL")
    query = "SELECT MIN(accepted) FROM messages WHERE queue = ? AND expires IS NOT NULL AND "
    found = [db.execute(query + each, (queue,)).fetchone()[0] for each in which]
    return min((float(at) for at in found if at is not None), default=None)


def _redrive(db: Transaction, queue: str, now: float) -> int:
    rows = db.execute(
        "UPDATE messages SET state = 0, due = ?, attempt = 0, expires = NULL, ended = NULL, result = NULL"
        " WHERE queue = ? AND state = 3 RETURNING seq, grp",
        (now, queue),
    ).fetchall()
    groups = {group for _, group in rows if group is not None}
    for group in sorted(groups):
        db.lock(f"group {queue} {group}")
        _choose_first(db, queue, group)
    if rows:
        db.count(queue, dead=-len(rows), waiting=len(rows))
    return len(rows)


def _choose_first(db: Transaction, queue: str, group: str) -> None:
    """Of a group, the one that runs is the first, or else the one that was put first; all others stand behind it."""
    db.execute("UPDATE messages SET state = 5 WHERE queue = ? AND grp = ? AND state = 0", (queue, group))
    db.execute(
        "UPDATE messages SET state = 0 WHERE state = 5 AND seq = (SELECT seq FROM messages"
        " WHERE queue = ? AND grp = ? AND state IN (1, 5) ORDER BY state, seq LIMIT 1)",
        (queue, group),
    )


def _drop(db: Transaction, which: str, *values: Any) -> int:
    gone = db.execute(f"DELETE FROM messages WHERE {which} RETURNING seq", values).fetchall()
    db.executemany("DELETE FROM bodies WHERE seq = ?", gone)
    return len(gone)


def _known(db: Transaction, query: str, *values: Any) -> Iterator[Known]:
    for seq, id, queue, state, due, accepted, attempts, group, ended, body, result in db.execute(query, values):
        whole = _whole(db, seq, body)
        yield Known(id, queue, _NAMES[state], due, accepted, attempts, group, ended, whole, result)


def _states(state: MessageState) -> str:
    return "IN (0, 5)" if state is MessageState.WAITING else f"= {_NUMBER[state]}"


def _counts(db: Transaction) -> dict[str, Counts]:
    db.counted()
    letters = dict(db.execute("SELECT queue, COUNT(*) FROM messages WHERE state = 3 GROUP BY queue").fetchall())
    sums = ", ".join(f"CAST(SUM({column}) AS BIGINT)" for column in COUNTED)
    rows = db.execute(f"SELECT queue, {sums} FROM counts GROUP BY queue ORDER BY queue").fetchall()
    return {
        queue: Counts(**dict(zip(COUNTED, states, strict=True)), letters=letters.get(queue, 0))
        for queue, *states in rows
    }
