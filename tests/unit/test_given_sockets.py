"""How a process is told which sockets it was given (sd_listen_fds(3)), and how it tells the next."""

from __future__ import annotations

import os
import socket

import pytest

from fnctl import given_sockets
from fnctl.errors import FnctlError, UsageError
from fnctl.given_sockets import LISTENER, LOCK, Given


def test_only_the_process_that_is_meant_has_them() -> None:
    told = {"LISTEN_PID": "7", "LISTEN_FDS": "2", "LISTEN_FDNAMES": "web:fnctl-lock"}
    assert given_sockets.described(told, 7) == {3: "web", 4: "fnctl-lock"}
    assert given_sockets.described(told, 8) == {}
    assert given_sockets.described({}, 7) == {}
    assert given_sockets.described({"LISTEN_PID": "7", "LISTEN_FDS": "1"}, 7) == {3: ""}


@pytest.mark.parametrize("count", ["", "-1", "two", "1e3", "10000", "²"])
def test_what_is_no_number_of_sockets_is_refused(count: str) -> None:
    with pytest.raises(UsageError, match="LISTEN_FDS"):
        given_sockets.described({"LISTEN_PID": "7", "LISTEN_FDS": count}, 7)


def test_what_one_process_tells_the_next_understands() -> None:
    told = given_sockets.environment({"HOME": "/root"}, 2, 7)
    assert told["HOME"] == "/root"
    assert given_sockets.described(told, 7) == {3: LISTENER, 4: LISTENER, 5: LOCK}


def test_without_any_there_are_none() -> None:
    environ = {"LISTEN_PID": str(os.getpid() + 1), "LISTEN_FDS": "1", "HOME": "/root"}
    assert given_sockets.taken(environ) == Given()
    assert environ == {"HOME": "/root"}, "nobody whom this process starts is told of them"


def test_of_several_the_one_that_others_can_reach_is_the_address() -> None:
    with socket.create_server(("127.0.0.1", 0)) as near, socket.create_server(("0.0.0.0", 0)) as far:
        assert Given((near,)).address == ("127.0.0.1", near.getsockname()[1])
        assert Given((near, far)).address == ("0.0.0.0", far.getsockname()[1])


def test_a_program_that_is_not_there_is_told_and_nothing_is_moved() -> None:
    with pytest.raises(FnctlError, match="/nowhere/python"):
        given_sockets.become(["/nowhere/python"], [], 0)
