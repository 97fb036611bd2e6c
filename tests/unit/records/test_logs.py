"""The log store: nothing lost within its bounds, and its bounds kept."""

from __future__ import annotations

import json
from pathlib import Path

from fnctl.model import Receipt, StartKind
from fnctl.records import journal as logs
from fnctl.records.journal import MAX_LINE, LogWriter
from fnctl.records.meter import Window
from fnctl.records.reader import Entry, news, read


class Clock:
    """Goes on by a second a look."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        self.now += 1
        return self.now


def texts(entries: object) -> list[str]:
    return [entry["text"] for entry in entries]  # type: ignore[attr-defined]


def test_lines_come_back_as_they_were(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, Clock())
    writer.line("todos", "i1", "01J", 'a "quoted" line \x1b[31m ünïcode \udcff')
    writer.line("todos", None, None, "background")
    writer.close()
    first, second = read(tmp_path, "todos")
    assert (first["kind"], first["function"], first["instance"], first["id"]) == ("line", "todos", "i1", "01J")
    assert first["text"] == 'a "quoted" line \x1b[31m ünïcode \udcff'
    assert (second["instance"], second["id"], second["text"]) == (None, None, "background")


def test_a_receipt_comes_back_whole(tmp_path: Path) -> None:
    receipt = Receipt(
        id="01J", function="todos", version="abc", start=StartKind.WARM, status=200, verdict="ok", at=12.5,
        handler_ms=1.25, total_ms=1.5, billed_ms=2, cpu_ms=0.5, peak_memory_mb=54.0, instance="i1", method="GET",
        path='/a?"b"', detail=None,
    )  # fmt: skip
    writer = LogWriter(tmp_path, Clock())
    writer.receipt(receipt)
    writer.close()
    (entry,) = read(tmp_path)
    assert entry.pop("kind") == "receipt"
    entry.pop("t")
    assert Receipt(**{**entry, "start": StartKind(entry["start"])}) == receipt


def test_a_long_line_is_cut_with_a_marker(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path)
    writer.line("f", None, None, "x" * (MAX_LINE + 7))
    writer.close()
    (text,) = texts(read(tmp_path))
    assert text == "x" * MAX_LINE + " … 7 characters cut"


def test_bytes_on_disk_are_bounded_and_the_newest_stay(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, max_bytes=10_000, files=3)
    for number in range(5000):
        writer.line("f", None, None, f"line {number}")
    writer.close()
    files = list(tmp_path.iterdir())
    assert sorted(file.name for file in files) == ["f.jsonl", "f.jsonl.1", "f.jsonl.2"]
    assert all(file.stat().st_size <= 10_000 for file in files)
    found = texts(read(tmp_path))
    assert found[-1] == "line 4999"
    assert found == [f"line {number}" for number in range(5000 - len(found), 5000)]


def test_what_comes_faster_than_the_disk_is_dropped_and_told(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path, max_waiting=1000)
    for _ in range(1000):
        writer.line("f", None, None, "x")
    writer.receipt(Receipt(id="r", function="f", version="v", start=None, status=200, verdict="ok", at=1))
    writer.close()
    entries = list(read(tmp_path))
    kept = sum(entry.get("text") == "x" for entry in entries)
    assert kept < 1000
    assert texts(entries[-1:]) == [f"… {1000 - kept} lines dropped: they came faster than they could be written"]
    assert sum(entry["kind"] == "receipt" for entry in entries) == 1


def test_a_disk_that_refuses_costs_lines_only(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path / "not there")
    writer.line("f", None, None, "x")
    writer.close()
    assert list(read(tmp_path / "not there")) == []


def test_half_a_line_of_a_killed_run_swallows_nothing(tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").write_text('{"t":1,"kind":"li')
    writer = LogWriter(tmp_path)
    writer.line("f", None, None, "x")
    writer.close()
    assert texts(read(tmp_path)) == ["x"]


def test_a_symbolic_link_is_not_followed(tmp_path: Path) -> None:
    (tmp_path / "f.jsonl").symlink_to(tmp_path / "elsewhere")
    writer = LogWriter(tmp_path)
    writer.line("f", None, None, "x")
    writer.close()
    assert not (tmp_path / "elsewhere").exists()


def put(path: Path, *entries: tuple[float, str]) -> None:
    with path.open("a") as file:
        for t, text in entries:
            file.write(json.dumps({"t": t, "kind": "line", "text": text}) + "\n")


def test_functions_are_merged_by_time(tmp_path: Path) -> None:
    put(tmp_path / "a.jsonl", (1, "a1"), (3, "a3"))
    put(tmp_path / "b.jsonl.1", (0, "b0"))
    put(tmp_path / "b.jsonl", (2, "b2"))
    assert texts(read(tmp_path)) == ["b0", "a1", "b2", "a3"]
    assert texts(read(tmp_path, "b")) == ["b0", "b2"]
    assert texts(read(tmp_path, tail=2)) == ["b2", "a3"]
    assert texts(read(tmp_path, since=2)) == ["b2", "a3"]
    assert texts(read(tmp_path, tail=0)) == []


class Stop(Exception):
    pass


def followed(folder: Path, *steps: object, tail: int | None = None) -> list[str]:
    """What a follower tells when `steps` happen one after the other between its looks."""
    waiting = list(steps)

    def wait(_: float) -> None:
        if not waiting:
            raise Stop
        waiting.pop(0)()  # type: ignore[operator]

    seen: list[Entry] = []
    try:
        for entry in read(folder, follow=True, tail=tail, wait=wait):
            seen.append(entry)
    except Stop:
        pass
    return texts(seen)


def rotate(folder: Path, files: int = 4) -> None:
    for number in range(files - 2, -1, -1):
        source = logs.rotated(folder / "f.jsonl", number)
        if source.exists():
            source.replace(logs.rotated(folder / "f.jsonl", number + 1))


def test_following_survives_rotation(tmp_path: Path) -> None:
    path = tmp_path / "f.jsonl"
    put(path, (1, "1"))

    def twice() -> None:
        put(path, (3, "3"))
        rotate(tmp_path)
        put(path, (4, "4"))
        rotate(tmp_path)
        put(path, (5, "5"))

    def away() -> None:
        for number in range(6, 12):
            rotate(tmp_path)
            put(path, (number, str(number)))

    steps = (lambda: put(path, (2, "2")), twice, lambda: rotate(tmp_path), lambda: put(path, (5.5, "5.5")), away)
    assert followed(tmp_path, *steps) == ["1", "2", "3", "4", "5", "5.5", "8", "9", "10", "11"]


def test_following_waits_for_whole_lines_and_new_functions(tmp_path: Path) -> None:
    put(tmp_path / "f.jsonl", (1, "1"), (2, "2"))
    half = json.dumps({"t": 3, "kind": "line", "text": "3"}) + "\n"

    def more(text: str) -> None:
        with (tmp_path / "f.jsonl").open("a") as file:
            file.write(text)

    steps = (lambda: more(half[:9]), lambda: more(half[9:]), lambda: put(tmp_path / "g.jsonl", (4, "4")))
    assert followed(tmp_path, *steps, tail=1) == ["2", "3", "4"]


def test_warm_calls_come_back_as_a_receipt_each(tmp_path: Path) -> None:
    window = Window("todos", "abc", "i1", cpu_ms=0.25, shared_by=4, peak_memory_mb=54.0)
    calls = [(f"01J{n}", 12.5 + n, 0.001_25, 0.001_5, (b"GET", b'/a?"\xff"', 200 + n % 2)) for n in range(4)]
    writer = LogWriter(tmp_path, Clock())
    writer.calls(window, calls)
    writer.close()
    entries = list(read(tmp_path))
    assert [entry["id"] for entry in entries] == [call[0] for call in calls]
    assert {entry.pop("kind") for entry in entries} == {"receipt"}
    entry = entries[1]
    entry.pop("t")
    assert Receipt(**{**entry, "start": StartKind(entry["start"])}) == Receipt(
        id="01J1", function="todos", version="abc", start=StartKind.WARM, status=201, verdict="ok", at=13.5,
        handler_ms=1.25, total_ms=1.5, billed_ms=2, cpu_ms=0.25, shared_by=4, peak_memory_mb=54.0,
        instance="i1", method="GET", path='/a?"ÿ"', detail=None,
    )  # fmt: skip


def test_warm_calls_that_the_disk_cannot_take_are_counted_one_by_one(tmp_path: Path) -> None:
    window = Window("f", "abc", "i1", cpu_ms=None, shared_by=1, peak_memory_mb=None)
    writer = LogWriter(tmp_path, max_waiting_receipts=1000)
    for _ in range(100):
        writer.calls(window, [("01J", 1.0, 0.0, 0.0, (b"GET", b"/", 200))] * 9)
    writer.close()
    entries = list(read(tmp_path))
    kept = sum(entry["kind"] == "receipt" for entry in entries)
    assert 0 < kept < 900
    assert texts(entries[-1:]) == [f"… {900 - kept} lines dropped: they came faster than they could be written"]


def test_news_of_a_busy_service_are_counted_and_not_parsed(tmp_path: Path) -> None:
    writer = LogWriter(tmp_path)
    writer.line("app", None, None, "before anybody looked")
    writer.close()
    looks = iter([False, True])

    def over(seconds: float) -> bool:
        if not (last := next(looks)):
            busy = LogWriter(tmp_path)
            window = Window("app", "v", "i", 1.0, 200, 20.0)
            busy.calls(window, [(f"id{n}", 1.0, 0.001, 0.001, (b"GET", b"/", 200)) for n in range(200)])
            busy.calls(window, [(f"id{n}", 1.0, 0.001, 0.001, (b"GET", b"/", 200)) for n in range(200)])
            busy.line("app", "i", "id7", "printed")
            busy.close()
        return last

    first, last = list(news(tmp_path, over, 30, 5))
    assert [entry["kind"] for entry in first.entries].count("receipt") == 30
    assert [entry["text"] for entry in first.entries if entry["kind"] == "line"] == ["printed"]
    assert first.more == 370
    assert last.entries == () and last.more == 0
