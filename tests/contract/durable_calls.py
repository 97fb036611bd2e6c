"""Durable functions on a gateway's stage: handlers that speak the API as AWS's SDK does, and boto3 as its users do."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import replace
from typing import Any

import boto3
from botocore.config import Config

from fnctl.model import Contract, DurableRule, Function, Scale
from fnctl.store.port import StoreUnavailable
from tests.contract.gateway_stage import Handler, Stage, app, read_request

Said = dict[str, Any]
Code = Callable[["Context"], Awaitable[Any]]


class Suspended(Exception):
    """The handler waits for something that is not there yet."""


class Crashed(Exception):
    """The process ends in the middle."""


class Context:
    """What AWS's SDK gives to a handler, as small as it can be: each operation is known by its number."""

    def __init__(self, made: Stage, event: Said, ran: list[str]) -> None:
        self.made = made
        self.arn: str = event["DurableExecutionArn"]
        self.token: str = event["CheckpointToken"]
        self.operations: dict[str, Said] = {each["Id"]: each for each in event["InitialExecutionState"]["Operations"]}
        self.first = next(iter(self.operations.values()))
        self.input = json.loads(self.first["ExecutionDetails"]["InputPayload"])
        self.ran = ran
        self._count = 0

    async def write(self, *updates: Said) -> None:
        answer = await self.made.executions.checkpoint(self.arn, self.token, updates, None, None)
        self.token = answer.get("CheckpointToken", "")
        self.operations |= {each["Id"]: each for each in answer["NewExecutionState"]["Operations"]}

    def _next(self) -> str:
        self._count += 1
        return f"op-{self._count}"

    async def step(self, name: str, result: Any) -> Any:
        id = self._next()
        known = self.operations.get(id, {})
        if known.get("Status") == "SUCCEEDED":
            return json.loads(known["StepDetails"]["Result"])
        operation = {"Id": id, "Type": "STEP", "SubType": "Step", "Name": name}
        if not known:
            await self.write({**operation, "Action": "START"})
        self.ran.append(name)
        await self.write({**operation, "Action": "SUCCEED", "Payload": json.dumps(result)})
        return result

    async def wait(self, seconds: int) -> None:
        id = self._next()
        if id not in self.operations:
            options = {"WaitSeconds": seconds}
            await self.write({"Id": id, "Type": "WAIT", "SubType": "Wait", "Action": "START", "WaitOptions": options})
        if self.operations[id]["Status"] != "SUCCEEDED":
            raise Suspended

    async def callback(self, **options: int) -> Any:
        id = self._next()
        if id not in self.operations:
            update: Said = {"Id": id, "Type": "CALLBACK", "SubType": "Callback", "Action": "START", "Name": "asked"}
            await self.write({**update, "CallbackOptions": options})
        found = self.operations[id]
        if found["Status"] == "STARTED":
            raise Suspended
        if found["Status"] != "SUCCEEDED":
            raise RuntimeError(found["CallbackDetails"]["Error"]["ErrorType"])
        return json.loads(found["CallbackDetails"]["Result"])

    async def invoke(self, function: str, payload: Any) -> Any:
        id = self._next()
        if id not in self.operations:
            update: Said = {"Id": id, "Type": "CHAINED_INVOKE", "SubType": "ChainedInvoke", "Action": "START"}
            update |= {"Payload": json.dumps(payload), "ChainedInvokeOptions": {"FunctionName": function}}
            await self.write(update)
        found = self.operations[id]
        if found["Status"] == "STARTED":
            raise Suspended
        if found["Status"] != "SUCCEEDED":
            raise RuntimeError(found["ChainedInvokeDetails"]["Error"]["ErrorMessage"])
        return json.loads(found["ChainedInvokeDetails"]["Result"])


def durable(name: str = "app", timeout_s: float = 1e7, **more: Any) -> Function:
    rule = DurableRule(timeout_s=timeout_s)
    return replace(app(), name=name, contract=Contract.LAMBDA, durable=rule, concurrency=1, scale=Scale(0, 4), **more)


def running(made: Stage, code: Code, ran: list[str] | None = None) -> Handler:
    """An agent whose handler is `code`. `ran`: the names of the steps that ran, in order."""
    ran = [] if ran is None else ran

    async def handle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while True:
            request = await read_request(reader)
            assert request.one(b"host").endswith(b".localhost"), "Node's server wants a host"
            try:
                body = await _said(code, Context(made, json.loads(request.body), ran))
            except (Crashed, StoreUnavailable):
                return  # the process ends in the middle, or fnctl's has
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
            await writer.drain()

    return handle


async def _said(code: Code, context: Context) -> bytes:
    try:
        answer: Said = {"Status": "SUCCEEDED", "Result": json.dumps(await code(context))}
    except Suspended:
        answer = {"Status": "PENDING"}
    except RuntimeError as error:
        answer = {"Status": "FAILED", "Error": {"ErrorType": "RuntimeError", "ErrorMessage": str(error)}}
    return json.dumps(answer).encode()


class Aws:
    """boto3's client, on threads of its own: the event loop is the gateway's."""

    def __init__(self, made: Stage) -> None:
        self._client = boto3.client(
            "lambda",
            region_name="us-east-1",
            endpoint_url=f"http://127.0.0.1:{made.port}/_fnctl/aws",
            aws_access_key_id="a",
            aws_secret_access_key="b",
            config=Config(retries={"max_attempts": 0}),
        )

    async def __call__(self, operation: str, **arguments: Any) -> Said:
        def call() -> Said:
            said: Said = getattr(self._client, operation)(**arguments)
            if "Payload" in said:
                said["Payload"] = said["Payload"].read()
            return said

        return await asyncio.to_thread(call)


def kinds(history: Said) -> list[str]:
    return [each["EventType"] for each in history["Events"]]
