"""The nouns of fnctl as frozen values. No behaviour beyond what a value says of itself; imports nothing of ours.

Everybody imports them from here; which file a noun stands in is a matter of this package alone.
"""

from __future__ import annotations

from fnctl.model.bundle import DERIVED, Bundle
from fnctl.model.contract import Contract
from fnctl.model.function import AsyncRule, Auth, DurableRule, Function, Isolation, JwtRule, Model, Scale
from fnctl.model.invocation import Receipt, SiteKey, StartKind
from fnctl.model.project import Project
from fnctl.model.queue import Destination, Queue, Rate
from fnctl.model.reach import ALONE, NO_MORE, Egress, Network, Reach
from fnctl.model.runtime import (
    INSTALLING,
    CodeRule,
    CompileRule,
    DetectRule,
    InstallRule,
    ProvideRule,
    RuntimeSpec,
    StartRule,
    WarmRule,
)
from fnctl.model.sandbox import (
    ALIBABA_ACCOUNT,
    ALIBABA_REGION,
    INSIDE,
    INSIDE_ALIBABA,
    OWN_NAME,
    SandboxInfo,
    SandboxSpec,
)
from fnctl.model.secret import Secret
from fnctl.model.service import LivenessRule, Ready, Service, ServiceType
from fnctl.model.trigger import (
    Broker,
    BrokerTrigger,
    EventTrigger,
    HttpTrigger,
    Missed,
    Overlap,
    QueueTrigger,
    TimerTrigger,
    Trigger,
    TriggerKind,
)
from fnctl.model.workflow import Workflow

__all__ = [
    "ALIBABA_ACCOUNT",
    "ALIBABA_REGION",
    "ALONE",
    "DERIVED",
    "INSIDE",
    "INSIDE_ALIBABA",
    "INSTALLING",
    "NO_MORE",
    "OWN_NAME",
    "AsyncRule",
    "Auth",
    "Broker",
    "BrokerTrigger",
    "Bundle",
    "CodeRule",
    "CompileRule",
    "Contract",
    "Destination",
    "DetectRule",
    "DurableRule",
    "Egress",
    "EventTrigger",
    "Function",
    "HttpTrigger",
    "InstallRule",
    "Isolation",
    "JwtRule",
    "LivenessRule",
    "Missed",
    "Model",
    "Network",
    "Overlap",
    "Project",
    "ProvideRule",
    "Queue",
    "QueueTrigger",
    "Rate",
    "Reach",
    "Ready",
    "Receipt",
    "RuntimeSpec",
    "SandboxInfo",
    "SandboxSpec",
    "Scale",
    "Secret",
    "Service",
    "ServiceType",
    "SiteKey",
    "StartKind",
    "StartRule",
    "TimerTrigger",
    "Trigger",
    "TriggerKind",
    "WarmRule",
    "Workflow",
]
