"""What both contracts of Alibaba Cloud Function Compute have in common: context, initializer, environment, logger.

Sources, all of Alibaba Cloud: "Context" of the Python runtimes (alibabacloud.com/help/en/functioncompute/fc/user-guide/
context-1), with `credentials`, `service` and `tracing` as they were before Python 3.12 (alibabacloud.com/help/en/
function-compute/latest/context); "Event functions", section initializer (alibabacloud.com/help/doc-detail/158208.htm);
"Environment variables", reserved ones.

Account, region and service are made up where the environment does not name them; credentials are those of the
environment, and empty without.
"""

from __future__ import annotations

import logging
import os
import uuid
from dataclasses import dataclass, field

from fnctl_agent.contracts import logger
from fnctl_agent.contracts.binding import Contract, Load, Resolve, expect
from fnctl_agent.interface import Found

REGION = "local"
ACCOUNT = "000000000000"
QUALIFIER = "LATEST"
_LAYOUT = "%(asctime)s.%(msecs)03dZ %(invocation)s [%(levelname)s] %(message)s"


@dataclass(frozen=True, slots=True)
class Credentials:
    access_key_id: str
    access_key_secret: str
    security_token: str

    @property
    def accessKeyId(self) -> str:  # as older runtimes spell them
        return self.access_key_id

    @property
    def accessKeySecret(self) -> str:
        return self.access_key_secret

    @property
    def securityToken(self) -> str:
        return self.security_token


@dataclass(frozen=True, slots=True)
class FunctionMeta:
    name: str
    handler: str
    memory: int  # MB
    timeout: int  # seconds
    version_id: str
    initializer: str | None = None
    qualifier: str = QUALIFIER


@dataclass(frozen=True, slots=True)
class ServiceMeta:
    name: str
    version_id: str
    log_project: str = ""
    log_store: str = ""
    qualifier: str = QUALIFIER


@dataclass(frozen=True, slots=True)
class Tracing:
    """Not there: no span, no endpoint."""

    span_context: str = ""
    jaeger_endpoint: str = ""
    span_baggages: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class FCContext:
    request_id: str
    credentials: Credentials
    function: FunctionMeta
    service: ServiceMeta
    region: str
    account_id: str
    logger: logging.Logger
    tracing: Tracing = field(default_factory=Tracing)
    retry_count: int = 0
    log_project: str = ""
    log_store: str = ""

    @property
    def requestId(self) -> str:
        return self.request_id


def context(load: Load, request_id: str) -> FCContext:
    names = ("ALIBABA_CLOUD_ACCESS_KEY_ID", "ALIBABA_CLOUD_ACCESS_KEY_SECRET", "ALIBABA_CLOUD_SECURITY_TOKEN")
    timeout_s = max(1, load["timeout_ms"] // 1000)
    return FCContext(
        request_id=request_id,
        credentials=Credentials(*(os.environ.get(name, "") for name in names)),
        function=FunctionMeta(
            load["function"], load["handler"], load["memory_mb"], timeout_s, load["version"], load.get("initializer")
        ),
        service=ServiceMeta(os.environ.get("FC_SERVICE_NAME", "fnctl"), load["version"]),
        region=os.environ.get("FC_REGION", REGION),
        account_id=os.environ.get("FC_ACCOUNT_ID", ACCOUNT),
        logger=logging.getLogger(),
    )


class FunctionCompute(Contract):
    """The platform's side of a load; the two contracts add how the handler is called."""

    initializes = True

    def environment(self, load: Load) -> dict[str, str]:
        return {
            "FC_FUNC_CODE_PATH": f"{load['root']}/",
            "FC_FUNCTION_NAME": load["function"],
            "FC_FUNCTION_HANDLER": load["handler"],
            "FC_FUNCTION_MEMORY_SIZE": str(load["memory_mb"]),
            "FC_SERVICE_NAME": "fnctl",
            "FC_VERSION_ID": load["version"],
            "FC_QUALIFIER": QUALIFIER,
            "FC_REGION": REGION,
            "FC_ACCOUNT_ID": ACCOUNT,
            "FC_INSTANCE_ID": f"c-{uuid.uuid4().hex[:16]}",
        }

    def find(self, load: Load, resolve: Resolve) -> Found:
        """The code is imported, then initialized: in the ephemeral model once too, before processes are forked."""
        logger.prepare(logging.INFO, _LAYOUT)
        found = super().find(load, resolve)
        if name := load.get("initializer"):
            initialize = resolve(name)
            expect(initialize, name, f"{load['contract']}'s initializer", "context")
            initialize(context(load, str(uuid.uuid4())))
        return found
