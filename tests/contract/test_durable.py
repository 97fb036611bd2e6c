"""Durable functions over a real gateway: begun and looked up by boto3, written by their handlers, woken by time."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path

import pytest
from botocore.exceptions import ClientError

from fnctl.errors import ConflictError, Forbidden, NotFound
from fnctl.triggers.http.call import CallRequest, When
from fnctl.workflow.durable.arn import run_of
from fnctl.workflow.durable.checkpoint_rules import Invalid, InvalidToken
from fnctl.workflow.durable.views import Views
from tests.contract.deferred_calls import ask
from tests.contract.durable_calls import Aws, Context, Crashed, Suspended, durable, kinds, running
from tests.contract.gateway_stage import HELLO, Stage, answering, app
from tests.contract.gateway_stage import play as played
from tests.support.turning import until

DAY_S = 86_400


def play(folder: Path, scene: Callable[[Stage], Awaitable[None]]) -> None:
    played(folder, scene, hosts=frozenset({b"a", b"127.0.0.1"}))


async def order(context: Context) -> list[str]:
    first = await context.step("reserve", "reserved")
    await context.wait(30 * DAY_S)
    return [first, await context.step("ship", context.input["to"])]


def test_an_execution_waits_a_month_without_an_instance_and_goes_on(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        ran: list[str] = []
        site = await made.add(durable(), running(made, order, ran))
        aws = Aws(made)
        begun = await aws("invoke", FunctionName="app", InvocationType="Event", Payload=b'{"to": "Oslo"}')
        arn = begun["DurableExecutionArn"]
        assert begun["StatusCode"] == 202
        await until(lambda: made.executions.awake == 0 and ran)
        assert (ran, len(made.executions), len(site.free)) == (["reserve"], 1, 1)
        assert (await aws("get_durable_execution", DurableExecutionArn=arn))["Status"] == "RUNNING"
        await made.clock.advance(30 * DAY_S)
        said = await aws("get_durable_execution", DurableExecutionArn=arn)
        assert (said["Status"], json.loads(said["Result"])) == ("SUCCEEDED", ["reserved", "Oslo"])
        assert ran == ["reserve", "ship"]
        history = await aws("get_durable_execution_history", DurableExecutionArn=arn, IncludeExecutionData=True)
        assert kinds(history) == [
            "ExecutionStarted",
            "StepStarted",
            "StepSucceeded",
            "WaitStarted",
            "InvocationCompleted",
            "WaitSucceeded",
            "StepStarted",
            "StepSucceeded",
            "InvocationCompleted",
            "ExecutionSucceeded",
        ]
        assert [each["EventId"] for each in history["Events"]] == list(range(1, 11))
        listed = await aws("list_durable_executions_by_function", FunctionName="app", Statuses=["SUCCEEDED"])
        assert [each["DurableExecutionArn"] for each in listed["DurableExecutions"]] == [arn]
        assert all(lease.released for lease in site.leases)

    play(tmp_path, scene)


def test_who_waits_for_the_end_gets_the_result(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        async def twice(context: Context) -> int:
            return 2 * int(await context.step("double", context.input))

        await made.add(durable(), running(made, twice))
        said = await Aws(made)("invoke", FunctionName="app:$LATEST", Payload=b"21")
        assert (said["StatusCode"], said["Payload"], said["ExecutedVersion"]) == (200, b"42", "$LATEST")
        request = b"POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n21"
        plain = await ask(made, request)
        assert (plain.status, plain.json) == (200, 42)
        assert plain.headers["x-amz-durable-execution-arn"] != said["DurableExecutionArn"]
        assert (await ask(made, b"GET /app/ HTTP/1.1\r\nHost: a\r\n\r\n")).status == 405

    play(tmp_path, scene)


def test_a_handler_that_fails_ends_its_execution_with_its_error(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        async def failing(context: Context) -> None:
            raise RuntimeError("no stock")

        await made.add(durable(), running(made, failing))
        said = await Aws(made)("invoke", FunctionName="app", Payload=b"{}")
        assert (said["FunctionError"], json.loads(said["Payload"])["errorMessage"]) == ("Unhandled", "no stock")
        plain = await ask(made, b"POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}")
        assert (plain.status, plain.json["error"]["message"]) == (500, "no stock")

    play(tmp_path, scene)


def test_a_crashed_invocation_is_made_again_and_completed_steps_are_not(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        ran: list[str] = []
        crashes = ["once"]

        async def fragile(context: Context) -> str:
            await context.step("first", 1)
            if crashes:
                crashes.pop()
                raise Crashed
            return str(await context.step("second", 2))

        await made.add(durable(), running(made, fragile, ran))
        arn = await made.executions.start(made.functions()["app"], "{}")
        await made.clock.advance(60)
        state = await made.executions.find(arn)
        assert (state.status, ran) == ("SUCCEEDED", ["first", "second"])
        (failed, _) = [each for each in state.history if each["EventType"] == "InvocationCompleted"]
        error = failed["InvocationCompletedDetails"]["Error"]["Payload"]
        assert error["ErrorType"] == "Runtime.OutOfMemory"  # as the stage's leases tell every loss

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("operation", "arguments", "status"),
    [
        ("send_durable_execution_callback_success", {"Result": b'"yes"'}, "SUCCEEDED"),
        ("send_durable_execution_callback_failure", {"Error": {"ErrorType": "Refused"}}, "FAILED"),
    ],
)
def test_a_callback_wakes_its_execution_once(
    tmp_path: Path, operation: str, arguments: dict[str, object], status: str
) -> None:
    async def scene(made: Stage) -> None:
        await made.add(durable(), running(made, lambda context: context.callback(TimeoutSeconds=60)))
        aws = Aws(made)
        arn = await made.executions.start(made.functions()["app"], "{}")
        await made.executions.rest()
        state = await made.executions.find(arn)
        id = state.operations["op-1"]["CallbackDetails"]["CallbackId"]
        await aws("send_durable_execution_callback_heartbeat", CallbackId=id)
        await aws(operation, CallbackId=id, **arguments)
        await made.executions.rest()
        assert (await made.executions.find(arn)).status == status
        with pytest.raises(ClientError, match="ResourceNotFound"):
            await aws(operation, CallbackId=id, **arguments)

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("options", "kind"),
    [({"TimeoutSeconds": 60}, "Callback.Timeout"), ({"HeartbeatTimeoutSeconds": 60}, "Callback.Heartbeat")],
)
def test_a_callback_that_does_not_come_times_out(tmp_path: Path, options: dict[str, int], kind: str) -> None:
    async def scene(made: Stage) -> None:
        await made.add(durable(), running(made, lambda context: context.callback(**options)))
        arn = await made.executions.start(made.functions()["app"], "{}")
        await made.clock.advance(59)
        assert not (await made.executions.find(arn)).ended
        await made.clock.advance(1)
        state = await made.executions.find(arn)
        assert (state.status, state.error["ErrorMessage"]) == ("FAILED", kind)

    play(tmp_path, scene)


def test_an_execution_invokes_functions_durable_or_not(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        async def outer(context: Context) -> list[object]:
            return [await context.invoke("inner", {"n": 1}), await context.invoke("gone", {})]

        async def inner(context: Context) -> int:
            await context.wait(10)
            return int(context.input["n"]) + 1

        await made.add(durable("outer"), running(made, outer))
        await made.add(durable("inner"), running(made, inner))
        arn = await made.executions.start(made.functions()["outer"], "{}")
        await made.clock.advance(10)
        state = await made.executions.find(arn)
        assert (state.status, state.error["ErrorMessage"]) == ("FAILED", "Function not found: gone")
        assert state.operations["op-1"]["ChainedInvokeDetails"] == {"Result": "2"}

        async def plainly(context: Context) -> object:
            return await context.invoke("plain", {})

        plain = b'HTTP/1.1 200 OK\r\nContent-Length: 7\r\n\r\n"hello"'
        await made.add(app("plain"), answering(plain))
        await made.add(durable("third"), running(made, plainly))
        said = await Aws(made)("invoke", FunctionName="third", Payload=b"{}")
        assert said["Payload"] == b'"hello"'

    play(tmp_path, scene)


def test_of_two_writers_the_one_with_the_old_token_is_refused(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        async def writing(context: Context) -> str:
            old, executions = context.token, made.executions
            update = {"Id": "a", "Type": "STEP", "Action": "START"}
            first = await executions.checkpoint(context.arn, old, [update], "same", None)
            again = await executions.checkpoint(context.arn, old, [update], "same", None)
            assert first == again  # a client that lost the answer asks again
            with pytest.raises(InvalidToken, match=r"^Invalid checkpoint token"):
                await executions.checkpoint(context.arn, old, [], "other", None)
            with pytest.raises(Forbidden):
                await executions.checkpoint(context.arn, first["CheckpointToken"], [], None, "another instance")
            with pytest.raises(Invalid, match="step 2 was `charge`, is `ship`"):
                token = first["CheckpointToken"]
                named = {"Id": "b", "Type": "STEP", "Name": "charge", "Action": "RETRY", "StepOptions": {}}
                token = (await executions.checkpoint(context.arn, token, [named], None, None))["CheckpointToken"]
                changed = {**named, "Name": "ship", "Action": "START"}
                await executions.checkpoint(context.arn, token, [changed], None, None)
            return "written"

        await made.add(durable(), running(made, writing))
        arn = await made.executions.start(made.functions()["app"], "{}")
        await made.executions.rest()
        assert (await made.executions.find(arn)).result == '"written"'
        with pytest.raises(InvalidToken):  # it has ended
            await made.executions.checkpoint(arn, "any", [], None, None)

    play(tmp_path, scene)


def test_a_name_stands_for_one_execution(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        ran: list[str] = []
        await made.add(durable(), running(made, lambda context: context.step("once", 1), ran))
        aws = Aws(made)
        same = {"FunctionName": "app", "DurableExecutionName": "order-7", "Payload": b'{"n": 7}'}
        first, again = await aws("invoke", **same), await aws("invoke", **same)
        assert first["DurableExecutionArn"] == again["DurableExecutionArn"]
        assert (first["Payload"], again["Payload"], ran) == (b"1", b"1", ["once"])
        with pytest.raises(ClientError, match="DurableExecutionAlreadyStarted"):
            await aws("invoke", **{**same, "Payload": b'{"n": 8}'})

    play(tmp_path, scene)


def test_an_execution_is_stopped_and_times_out(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(durable(timeout_s=100), running(made, lambda context: context.wait(1000)))
        first, second = [await made.executions.start(made.functions()["app"], "{}") for _ in range(2)]
        await made.executions.rest()
        await Aws(made)("stop_durable_execution", DurableExecutionArn=first, Error={"ErrorMessage": "enough"})
        assert (await made.executions.find(first)).status == "STOPPED"
        await made.clock.advance(100)
        assert (await made.executions.find(second)).status == "TIMED_OUT"
        assert len(made.executions) == 0

    play(tmp_path, scene)


def test_an_execution_is_shown_with_its_steps_and_cancelled(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(durable(), running(made, order))
        views = Views(made.executions)
        id = run_of(await made.executions.start(made.functions()["app"], '{"to": "Oslo"}'))
        await made.executions.rest()
        shown = await views.show(id)
        assert (shown["workflow"], shown["state"], shown["invocations"]) == ("app", "waiting", 1)
        assert 0 <= made.clock.now() + 30 * DAY_S - shown["due"] < 0.01  # in whole milliseconds
        steps = [(each["name"], each["kind"], each["state"]) for each in shown["steps"]]
        assert steps == [("reserve", "step", "succeeded"), ("Wait", "wait", "started")]
        entries = await views.history(id, io=True)
        assert [each["number"] for each in entries] == [1, 2, 3, 4, 5]
        assert entries[2]["Result"]["Payload"] == '"reserved"'
        assert "Result" not in (await views.history(id, io=False))[2]
        await views.cancel(id)
        assert (await views.show(id))["state"] == "stopped"
        with pytest.raises(ConflictError, match="has ended"):
            await views.cancel(id)
        with pytest.raises(NotFound):
            await views.show("01JF5Z6K3V9Q8N7M4R2T1W0XYZ")

    play(tmp_path, scene)


def test_a_handler_that_waits_for_nothing_is_not_called_for_ever(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        called: list[int] = []

        async def nothing(context: Context) -> None:
            called.append(1)
            raise Suspended

        await made.add(durable(), running(made, nothing))
        arn = await made.executions.start(made.functions()["app"], "{}")
        await made.clock.advance(60)
        state = await made.executions.find(arn)
        assert (state.status, state.error["ErrorType"], len(called)) == ("FAILED", "Runtime.NothingPending", 3)

    play(tmp_path, scene)


def test_deferred_calls_begin_executions_under_their_own_ids(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        ran: list[str] = []
        await made.add(durable(), running(made, lambda context: context.step("once", 1), ran))
        request = CallRequest(b"POST", b"/", b"", b"{}")
        id = await made.deferred.accept(made.functions()["app"], request, When(due=made.clock.now() + 60))
        await made.clock.advance(60)
        assert ran == ["once"]
        told = await made.deferred.result(id)
        assert (told["state"], json.loads(told["result"]["body"])["id"]) == ("done", id)

    play(tmp_path, scene)


@pytest.mark.parametrize(
    ("operation", "arguments", "error"),
    [
        ("invoke", {"FunctionName": "nobody"}, "ResourceNotFound"),
        ("invoke", {"FunctionName": "app", "Payload": b"{"}, "InvalidParameterValue.*not JSON"),
        (
            "invoke",
            {"FunctionName": "app", "InvocationType": "Event", "Payload": b'"%b"' % (b"x" * (1 << 20))},
            "TooLarge",
        ),
        ("send_durable_execution_callback_success", {"CallbackId": "A" * 60}, "ResourceNotFound"),
    ],
)
def test_what_cannot_be_done_is_told_before_anything_runs(
    tmp_path: Path, operation: str, arguments: dict[str, object], error: str
) -> None:
    async def scene(made: Stage) -> None:
        await made.add(durable(), answering(HELLO))
        with pytest.raises(ClientError, match=error):
            await Aws(made)(operation, **arguments)
        assert not made.receipts

    play(tmp_path, scene)


def test_who_waits_is_told_when_fnctl_stops(tmp_path: Path) -> None:
    async def scene(made: Stage) -> None:
        await made.add(durable(), running(made, lambda context: context.wait(1000)))
        request = b"POST /app/ HTTP/1.1\r\nHost: a\r\nContent-Length: 2\r\n\r\n{}"
        waiting = asyncio.ensure_future(ask(made, request))
        await until(lambda: len(made.executions) == 1 and made.executions.awake == 0)
        made.executions.release()
        assert (await waiting).status == 409

    play(tmp_path, scene)
