"""Names that clients choose, in every contract of the Node agent: `toString` and `__proto__` are names as any."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fnctl.engine.docker import DockerEngine
from tests.contract.agents.contract_bench import Bench, bench

pytestmark = [pytest.mark.engine, pytest.mark.timeout(300)]

CODE = """
// What a handler sees of a map: names and values, and whether it has any that nobody sent.
const told = (map) => [Object.entries(map), typeof map.valueOf];
exports.event = async (event) => [told(event.query), told(event.headers), told(event.params)];
exports.lambda = async ({ queryStringParameters, headers, pathParameters }) =>
  JSON.stringify([queryStringParameters, headers, pathParameters].map(told));
exports.fcHttp = (req, resp) => resp.send(JSON.stringify([told(req.queries), told(req.headers)]));
exports.openfaas = async (event, context) => context.succeed([told(event.query), told(event.headers)]);
exports.form = async (event, context) => context.succeed([told(event.body)]);
exports.openwhisk = (params) => ({ told: [told(params), told(params.__ow_headers)] });
exports.cloudevents = (event) => ({ type: 't', source: 's', data: told(event) });
const headers = { 'x-none': undefined, 'x-null': null, 'x-some': 'some', 'x-list': ['a', undefined, null] };
Object.setPrototypeOf(headers, { 'x-inherited': 'no' });
exports.absent = async () => ({ statusCode: 200, headers, body: 'x' });
exports.absentWhisk = () => ({ headers: { 'x-none': undefined, 'x-some': 'some' }, body: 'x' });
exports.nullWhisk = () => ({ headers: { 'x-null': null }, body: 'x' });
exports.absentFaas = async (event, context) => context.headers(headers).succeed('x');
exports.absentFcHttp = (req, resp) => {
  resp.setHeader('x-none', undefined);
  resp.setHeader('x-some', 'some');
  resp.send('x');
};
"""
CLASSIC = """
module.exports = (context, callback) => setTimeout(() => callback(null, Object.fromEntries(
  Object.entries(process.env).filter(([name]) => name.startsWith('Http_')))), 5);
"""
QUERY = "/p?toString=5&__proto__=7&constructor=a&constructor=b"
SENT = {"toString": "5", "__proto__": "7"}


@pytest.fixture(scope="module")
def functions(engine: DockerEngine, sandbox_image: str) -> Iterator[Bench]:
    with bench(engine, sandbox_image, "node24", {"index.js": CODE, "classic.js": CLASSIC}) as made:
        yield made


@pytest.mark.parametrize(
    ("handler", "contract", "constructor"),
    [
        ("event", "event", "b"),
        ("lambda", "lambda", "a,b"),
        ("fcHttp", "fc-http", ["a", "b"]),
        ("openfaas", "openfaas", ["a", "b"]),
        ("openwhisk", "openwhisk", "b"),
    ],
)
def test_names_of_objects_are_names_as_any(
    functions: Bench, handler: str, contract: str, constructor: str | list[str]
) -> None:
    functions.load(f"index.{handler}", contract)
    answer = functions.call(QUERY, valueOf_="v", X_Fnctl_Params="__proto__=p&id=1").json
    maps = answer["told"] if contract == "openwhisk" else answer
    query = dict(maps[0][0])
    assert {name: query[name] for name in (*SENT, "constructor")} == {**SENT, "constructor": constructor}
    assert [inherited for _, inherited in maps] == ["undefined"] * len(maps)
    if contract in ("event", "lambda"):
        assert dict(maps[2][0]) == {"__proto__": "p", "id": "1"}


def test_fields_of_forms_and_attributes_of_events_too(functions: Bench) -> None:
    functions.load("index.form", "openfaas")
    form = functions.call(body="toString=5&__proto__=7", Content_Type="application/x-www-form-urlencoded").json
    assert form == [[[["toString", "5"], ["__proto__", "7"]], "undefined"]]
    functions.load("index.cloudevents", "cloudevents")
    named = {"Ce_Id": "1", "Ce_Source": "s", "Ce_Type": "t", "Ce_Specversion": "1.0"}
    assert functions.call(body={}, **named).json[1] == "undefined"
    assert functions.call(body={}, **named, Ce___proto__="x").status == 400


def test_a_header_without_a_value_is_left_out(functions: Bench) -> None:
    for handler, contract in (
        ("absent", "event"), ("absent", "lambda"), ("absent", "fc-event"), ("absent", "fc3-http"),
        ("absentFaas", "openfaas"), ("absentFcHttp", "fc-http"), ("absentWhisk", "openwhisk"),
    ):  # fmt: skip
        functions.load(f"index.{handler}", contract)
        answer = functions.call(body={})
        assert answer.status == 200, contract
        assert answer.headers["x-some"] == "some", contract
        assert not {"x-none", "x-null", "x-inherited"} & {name.lower() for name in answer.headers}, contract
    functions.load("index.nullWhisk", "openwhisk")
    functions.bad_response("the header x-null is null")


def test_the_classic_openfaas_handler_finds_the_request_in_its_environment(functions: Bench) -> None:
    functions.load("classic.js", "openfaas")
    told = functions.call("/a/b?x=1", body="hi", User_Agent="test", X_Forwarded_For="203.0.113.7").json
    wanted = {
        "Http_Method": "POST", "Http_Path": "/a/b", "Http_Query": "x=1", "Http_User_Agent": "test",
        "Http_ContentLength": "2", "Http_X_Forwarded_For": "203.0.113.7",
    }  # fmt: skip
    assert {name: told.get(name) for name in wanted} == wanted
    assert not any("fnctl" in name.lower() for name in told)
    assert "Http_Query" not in functions.call("/a").json
