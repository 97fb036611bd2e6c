"""The admin API's part for runs of workflows.

GET  /v1/workflows                         the project's workflows
GET  /v1/workflows/check                   what open runs would meet in the definitions that are on disk now
GET  /v1/runs                              all runs, of whatever kind, the newest first
GET  /v1/runs/ID                           one run, with its steps
GET  /v1/runs/ID/history?io=1              its log; `io`: with what went in and out
GET  /v1/runs/ID/graph                     its picture: text and SVG
POST /v1/runs/ID/cancel
POST /v1/runs/ID/retry?from=STEP&latest=1  go on from a step after a failure; `latest`: with the definition of now
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from fnctl.control.prepare import Selection
from fnctl.control.workflows import Workflows
from fnctl.workflow.durable.views import Views
from fnctl.workflow.runs import Kind


def routes(workflows: Workflows, executions: Views, selected: Callable[[], Awaitable[Selection]]) -> list[Route]:
    """`selected`: the project as the disk has it now."""

    async def runner(request: Request) -> Workflows | Views:
        """Of what kind the run is."""
        row = await workflows.row(request.path_params["id"])
        return executions if row.kind is Kind.DURABLE else workflows

    async def get_workflows(request: Request) -> JSONResponse:
        return JSONResponse({"workflows": workflows.names()})

    async def get_check(request: Request) -> JSONResponse:
        project = (await selected()).project
        names = [function.name for function in project.functions]
        return JSONResponse({"runs": await workflows.against_running(project.workflows, names)})

    async def get_runs(request: Request) -> JSONResponse:
        return JSONResponse({"runs": await workflows.rows()})

    async def get_run(request: Request) -> JSONResponse:
        return JSONResponse(await (await runner(request)).show(request.path_params["id"]))

    async def get_history(request: Request) -> JSONResponse:
        io = request.query_params.get("io") == "1"
        return JSONResponse({"entries": await (await runner(request)).history(request.path_params["id"], io=io)})

    async def get_graph(request: Request) -> JSONResponse:
        return JSONResponse(await (await runner(request)).graph(request.path_params["id"]))

    async def post_cancel(request: Request) -> JSONResponse:
        await (await runner(request)).cancel(request.path_params["id"])
        return JSONResponse({"cancelled": request.path_params["id"]})

    async def post_retry(request: Request) -> JSONResponse:
        said = request.query_params
        step = await workflows.flows.retry(
            request.path_params["id"], said.get("from"), latest=said.get("latest") == "1"
        )
        return JSONResponse({"from": step})

    return [
        Route("/v1/workflows", get_workflows, methods=["GET"]),
        Route("/v1/workflows/check", get_check, methods=["GET"]),
        Route("/v1/runs", get_runs, methods=["GET"]),
        Route("/v1/runs/{id}", get_run, methods=["GET"]),
        Route("/v1/runs/{id}/history", get_history, methods=["GET"]),
        Route("/v1/runs/{id}/graph", get_graph, methods=["GET"]),
        Route("/v1/runs/{id}/cancel", post_cancel, methods=["POST"]),
        Route("/v1/runs/{id}/retry", post_retry, methods=["POST"]),
    ]
