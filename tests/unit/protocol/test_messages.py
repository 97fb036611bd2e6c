"""Messages as lines, and a blocking line to a sandbox whose other end is played here."""

from __future__ import annotations

import socket
from dataclasses import replace
from pathlib import Path

import pytest

from fnctl.errors import ProtocolError
from fnctl.model import Contract, Function, Isolation, Model
from fnctl.protocol import messages
from fnctl.protocol.blocking import Channel, accepted, listen

PLAIN = Function("f", Path("/f"), "node24", "handler.handler")


def test_a_message_is_one_line_and_comes_back_as_it_was() -> None:
    message = messages.boot(("/bin/agent", "-x"), {"A": "é\n"})
    line = messages.encoded(message)
    assert line.count(b"\n") == 1 and line.endswith(b"\n")
    assert messages.decoded(line) == message


@pytest.mark.parametrize("line", [b"", b"x", b"[1]", b'{"a":1}', b'{"op":1}', b"\xff", b"[" * 100_000])
def test_what_is_no_message_is_said(line: bytes) -> None:
    with pytest.raises(ProtocolError, match=r"not JSON|not an object"):
        messages.decoded(line)


def test_a_load_says_what_the_function_has_and_no_more() -> None:
    plain = messages.load(PLAIN, "v", {"A": "1"}, 3000)
    assert plain["env"] == {"A": "1"} and plain["root"] == messages.CODE
    assert not plain.keys() & {"once", "command", "contract", "initializer"}
    whole = replace(
        PLAIN, command=("./run",), contract=Contract.LAMBDA, initializer="main.start",
        model=Model.EPHEMERAL, isolation=Isolation.CONTAINER,
    )  # fmt: skip
    said = messages.load(whole, "v", {}, 3000, once=True)
    assert (said["once"], said["command"], said["contract"], said["initializer"]) == (
        *(True, ["./run"], "lambda", "main.start"),
    )


def test_a_blocking_line_says_what_came_instead(tmp_path: Path) -> None:
    with listen(tmp_path / "agent.sock", 5.0) as listener, socket.socket(socket.AF_UNIX) as agent:
        agent.connect(str(tmp_path / "agent.sock"))
        channel = Channel(accepted(listener))
        agent.sendall(b'{"op":"hello"}\n{"op":"load_failed"}\n')
        assert channel.expect("hello") == {"op": "hello"}
        with pytest.raises(ProtocolError, match=r"load_failed.* where `loaded` was to come"):
            channel.expect("loaded")
        channel.send(messages.dial(2))
        assert agent.recv(100) == b'{"op":"dial","n":2}\n'
        agent.shutdown(socket.SHUT_WR)
        assert channel.receive() is None
        with pytest.raises(ProtocolError, match="no more"):
            channel.expect("done")
        channel.close()
