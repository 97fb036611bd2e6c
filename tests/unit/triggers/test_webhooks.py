"""Signatures of webhooks, as the specification and its own tests have them."""

from __future__ import annotations

import pytest

from fnctl.triggers.queue.hooks import signature

# The vector that the reference implementations of Standard Webhooks are tested with.
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
ID = "msg_p5jXN8AQM9LWM0D4loKWxJek"
AT = 1614265330
BODY = b'{"test": 2432232314}'
SIGNED = "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_signature_is_that_of_the_reference() -> None:
    assert signature(SECRET, ID, AT, BODY) == SIGNED
    assert signature(SECRET.removeprefix("whsec_"), ID, AT, BODY) == SIGNED


@pytest.mark.parametrize("other", [(SECRET, "msg_2", AT, BODY), (SECRET, ID, AT + 1, BODY), (SECRET, ID, AT, b"{}")])
def test_it_is_of_the_id_the_time_and_the_body(other: tuple[str, str, int, bytes]) -> None:
    assert signature(*other) != SIGNED


def test_a_secret_that_is_no_base64_is_refused() -> None:
    with pytest.raises(ValueError, match="not base64"):
        signature("whsec_*", ID, AT, BODY)
