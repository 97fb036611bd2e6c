"""The contracts that functions are written for, one file each. Only the one that a load names is ever imported."""

from __future__ import annotations

import importlib

from fnctl_agent.contracts.binding import Contract, Load

_FILES = {
    "web": "web",
    "event": "event",
    "lambda": "aws_lambda",
    "fc-event": "fc_event",
    "fc-http": "fc_http",
    "fc3-http": "fc3_http",
    "functions-framework-http": "framework",
    "functions-framework-cloudevent": "framework",
    "openfaas": "openfaas",
    "openwhisk": "openwhisk",
    "cloudevents": "cloudevents",
}


class NoSuchContract(Exception):
    """The load asks for what this agent does not speak."""


def contract_of(load: Load) -> Contract:
    """The contract that a load names. Raises NoSuchContract."""
    word = load.get("contract")
    if word is not None and word not in _FILES:
        raise NoSuchContract(f"Python has no contract `{word}`; it has: {', '.join(_FILES)}")
    module = importlib.import_module(f"{__name__}.{_FILES[word] if word else 'by_shape'}")
    contract: Contract = module.CONTRACT
    if load.get("initializer") and not contract.initializes:
        raise NoSuchContract(f"the contract `{word or 'event'}` has no initializer, but {load['initializer']} is set")
    return contract
