"""What the gateway bounds: sizes and waits. Values only."""

from __future__ import annotations

from dataclasses import dataclass

KIB = 1024
MIB = 1024 * KIB


@dataclass(frozen=True, slots=True)
class Limits:
    """Times are granted to the next tick of the gateway's clock (`tick_s`), so they may end that much late."""

    head_bytes: int = 32 * KIB  # of a request's head (431) and of a response's (502)
    body_bytes: int = 16 * MIB  # of a request's body (413)
    # A request is admitted when its body, or this much of it, is here: a slow sender holds no instance.
    hold_bytes: int = 64 * KIB
    # A chunked body has no announced end and may be a conversation: it is held no longer than this.
    hold_s: float = 0.2
    pipeline_bytes: int = 64 * KIB  # read ahead of the request that is served; past it, reading stops
    error_bytes: int = 64 * KIB  # of an agent's own error body

    head_s: float = 10.0
    # An invocation waits this long for an instance, or its function's `timeout` where that is longer: a start takes its
    # time however short the handler is, and may itself end in a load timeout, which tells more.
    queue_s: float = 15.0
    body_idle_s: float = 30.0
    reader_stall_s: float = 60.0
    keep_alive_s: float = 75.0
    tunnel_idle_s: float = 300.0
    linger_s: float = 2.0  # after a refusal, the rest of the request is read and dropped this long
    first_s: float = 0.5  # (draining) a connection that has asked nothing yet may still, this long
    tick_s: float = 0.05
