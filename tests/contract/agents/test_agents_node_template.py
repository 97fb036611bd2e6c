"""Node's template: a loaded process that is forked for each ephemeral invocation."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.contract.agents.languages import NODE
from tests.contract.agents.sandbox_host import SandboxHost

pytestmark = pytest.mark.engine

RUNTIME = "node24"
Start = Callable[..., SandboxHost]


def served(host: SandboxHost, **request: Any) -> Any:
    """One invocation, with its process gone."""
    answer = host.request(**request)
    host.next_connection()
    done = host.agent.expect("done")
    assert (done["code"], done["signal"]) == (0, 0)
    return answer.json


def ended_early(host: SandboxHost) -> tuple[int, int]:
    """Code and signal of the process of an invocation that is not answered."""
    with pytest.raises((ConnectionError, OSError)):
        host.request()
    host.next_connection()
    done = host.agent.expect("done")
    return done["code"], done["signal"]


@pytest.fixture
def template(start: Start) -> Callable[[str], SandboxHost]:
    """template(code of f.js) → a host whose agent forks for `f.handler`."""

    def template(code: str, **place: object) -> SandboxHost:
        host = start(RUNTIME, {"f.js": code}, template=True, **place)
        assert host.load("f.handler", model="ephemeral")["fork"] is True
        return host

    return template


def test_nothing_of_an_invocation_meets_the_next(start: Start) -> None:
    host = start(RUNTIME, NODE.files, template=True)
    assert host.load("events.residue", model="ephemeral")["fork"] is True
    clean: dict[str, object] = {"count": 0, "leaked": None, "tmp": [], "shm": [], "processes": 0, "abstract": False}
    for _ in range(5):
        assert served(host) == clean


def test_a_web_app_serves_once_in_each_process(start: Start, node_packages: Path) -> None:
    code = """
const app = require('express')();
let served = 0;
app.get('/', (request, response) => response.json({ served: ++served, pid: process.pid, ip: request.ip }));
app.listen(process.env.PORT);
"""
    host = start(RUNTIME, {"app.js": code}, template=True, extra=node_packages)
    assert host.load("app.js", model="ephemeral")["fork"] is True
    seen = [served(host) for _ in range(3)]
    assert [one["served"] for one in seen] == [1, 1, 1]
    assert len({one["pid"] for one in seen}) == 3
    assert {one["ip"] for one in seen} == {"127.0.0.1"}


def test_an_es_module_is_forked_too(start: Start) -> None:
    code = """
import { readFile } from 'node:fs/promises';
export const handler = async () => (await readFile('f.mjs')).length;
"""
    host = start(RUNTIME, {"f.mjs": code}, template=True)
    assert host.load("f.handler", model="ephemeral")["fork"] is True
    assert [served(host) for _ in range(2)] == [len(code)] * 2


OBSTACLES = {
    "a worker": "new (require('worker_threads').Worker)('setInterval(() => {}, 1e6)', { eval: true });",
    "a process": "require('child_process').spawn('sleep', ['1000'], { stdio: 'ignore' });",
    "a socket": "require('net').createServer().listen('\\0kept').unref();",
    "a file": "require('fs').openSync(__filename);",
    "work under way": "require('crypto').pbkdf2('a', 'b', 2e6, 64, 'sha512', () => {});",
    "a watched file": "require('fs').watch(__filename).unref();",
    "a file in /tmp": "require('fs').writeFileSync('/tmp/cache', '');",
}


@pytest.mark.parametrize("what", OBSTACLES)
def test_what_children_would_share_is_not_forked(start: Start, what: str) -> None:
    code = OBSTACLES[what] + "\nlet n = 0;\nexports.handler = (event) => ({ n: ++n });\n"
    host = start(RUNTIME, {"f.js": code}, template=True)
    for _ in range(2):
        assert host.load("f.handler", model="ephemeral")["fork"] is False
        assert host.request().json == {"n": 1}
        assert host.supervisor.expect("exited")["code"] == 0
        host.boot(template=True)


def test_a_child_is_a_process_of_its_own(template: Callable[..., SandboxHost]) -> None:
    code = """
const fs = require('fs');
const crypto = require('crypto');
const { random } = Math;
crypto.randomUUID();
crypto.randomInt(10);
Math.random();

exports.handler = () => {
  const refused = ['mem', 'fd', 'environ', 'maps', 'root'].filter((name) => {
    const path = `/proc/${process.ppid}/${name}`;
    try {
      if (['fd', 'root'].includes(name)) fs.readdirSync(path);
      else fs.readSync(fs.openSync(path, name === 'mem' ? 'r+' : 'r'), Buffer.alloc(1));
      return false;
    } catch {
      return true;
    }
  });
  return {
    refused,
    pid: process.pid,
    own: fs.readlinkSync('/proc/self') === String(process.pid),
    drawn: [random(), Math.random(), crypto.randomUUID(), globalThis.crypto.randomUUID(), crypto.randomInt(2 ** 40),
      crypto.randomBytes(8).toString('hex')],
    control: fs.readdirSync('/proc/self/fd').length,
  };
};
"""
    host = template(code)
    seen = [served(host) for _ in range(3)]
    for one in seen:
        assert one["refused"] == ["mem", "fd", "environ", "maps", "root"]
        assert one["own"] is True
    assert len({one["pid"] for one in seen}) == 3
    assert len({one["control"] for one in seen}) == 1, "descriptors do not add up"
    drawn = [value for one in seen for value in one["drawn"]]
    assert len(set(drawn)) == len(drawn)


WHAT_NODE_DOES = {
    "timers": "new Promise((done) => setTimeout(done, 20, 'in time'))",
    "files": "require('fs').promises.readFile('f.js', 'utf8').then((text) => text.slice(0, 7))",
    "the thread pool": "promisify(require('crypto').pbkdf2)('a', 'b', 1, 4, 'sha1').then((key) => key.length)",
    "compression": "promisify(require('zlib').gzip)('abc').then((zipped) => zipped.length)",
    "a program": "promisify(require('child_process').execFile)('echo', ['hi']).then(({ stdout }) => stdout)",
    "a worker": """new Promise((done) => new (require('worker_threads').Worker)(
        "require('worker_threads').parentPort.postMessage(6 * 7)", { eval: true }).on('message', done))""",
    "an import": "import('node:os').then((os) => os.EOL)",
    "WebAssembly": "WebAssembly.compile(Uint8Array.of(0, 97, 115, 109, 1, 0, 0, 0)).then(String)",
    "a server and fetch": """new Promise((done) => {
        const server = require('http').createServer((_, answer) => answer.end('fetched'));
        server.listen(0, '127.0.0.1', async () => {
          const answer = await fetch(`http://127.0.0.1:${server.address().port}`);
          done(await answer.text()); }); })""",
    "garbage": "(() => { let kept; for (let n = 0; n < 2e6; n += 1) kept = { n, kept: {} }; return kept.n; })()",
    "compiled code": "(() => { let x = 0; for (let n = 0; n < 3e7; n += 1) x = (x + n * n) % 97; return x; })()",
    "promises in numbers": "Promise.all(Array.from({ length: 1e4 }, async (_, n) => n)).then((all) => all.length)",
}


@pytest.mark.parametrize("what", WHAT_NODE_DOES)
def test_a_child_can_do_what_node_does(template: Callable[..., SandboxHost], start: Start, what: str) -> None:
    code = f"""
const {{ promisify }} = require('util');
exports.handler = async () => ({{ found: await {WHAT_NODE_DOES[what]} }});
"""
    plain = start(RUNTIME, {"f.js": code})
    plain.load("f.handler", model="ephemeral")
    expected = plain.request().json
    assert "found" in expected
    host = template(code)
    assert [served(host) for _ in range(2)] == [expected, expected]


NEVER = "return new Promise(() => {})"
ENDS = {
    "process.exit(3)": (3, 0),
    "process.exitCode = '4'; process.exit()": (4, 0),
    f"setTimeout(() => {{ throw new Error('late'); }}); {NEVER}": (1, 0),
    f"Promise.reject(new Error('alone')); {NEVER}": (1, 0),
    f"process.once('uncaughtException', () => process.exit(5)); setTimeout(() => {{ throw 1; }}); {NEVER}": (5, 0),
    f"process.on('exit', (code) => {{ process.exitCode = code + 6; }}); setTimeout(() => {{ throw 1; }}); {NEVER}": (
        7,
        0,
    ),
    "process.reallyExit(8)": (8, 0),
    "process.abort()": (0, 6),
    "process.kill(process.pid, 'SIGKILL')": (0, 9),
}


@pytest.mark.parametrize("statement", ENDS)
def test_the_end_of_a_child_is_told(template: Callable[..., SandboxHost], statement: str) -> None:
    host = template(f"exports.handler = () => {{ {statement}; }};")
    assert [ended_early(host) for _ in range(2)] == [ENDS[statement]] * 2


def test_an_uncaught_exception_is_in_the_log_with_its_place(template: Callable[..., SandboxHost]) -> None:
    host = template(
        "exports.handler = () => new Promise(() => {\n  setTimeout(() => { throw new Error('late'); }); });"
    )
    ended_early(host)
    assert host.logs.wait_for("Uncaught Error: late")
    assert host.logs.wait_for("f.js:2:")


def test_an_exception_that_a_listener_takes_ends_nothing(template: Callable[..., SandboxHost]) -> None:
    code = """
exports.handler = () => new Promise((done) => {
  process.once('uncaughtException', (error, origin) => done({ message: error.message, origin }));
  setTimeout(() => { throw new Error('late'); });
});
"""
    assert served(template(code)) == {"message": "late", "origin": "uncaughtException"}


def test_domains_and_captures_take_exceptions_as_ever(template: Callable[..., SandboxHost]) -> None:
    code = """
const domain = require('domain').create();
exports.handler = () => new Promise((done) => {
  domain.once('error', (error) => done({ message: error.message }));
  domain.run(() => setTimeout(() => { throw new Error('in a domain'); }));
});
"""
    host = template(code)
    assert [served(host) for _ in range(2)] == [{"message": "in a domain"}] * 2
    code = """
let done;
process.setUncaughtExceptionCaptureCallback((error) => done({ message: error.message }));
exports.handler = () => new Promise((resolve) => {
  done = resolve;
  setTimeout(() => { throw new Error('captured'); });
});
"""
    host = template(code)
    assert [served(host) for _ in range(2)] == [{"message": "captured"}] * 2


def test_no_timer_of_the_users_runs_in_the_template(template: Callable[..., SandboxHost]) -> None:
    code = """
const { readlinkSync } = require('fs');
const turned = new Set();
setInterval(() => turned.add(readlinkSync('/proc/self')), 1);
exports.handler = () => new Promise((done) => {
  const own = readlinkSync('/proc/self');
  const look = () => turned.has(own) ? done([...turned].filter((pid) => pid !== own)) : setTimeout(look, 1);
  look();
});
"""
    host = template(code)
    assert [served(host) for _ in range(3)] == [[], [], []], "a timer turns in its own child, and nowhere before"


def test_lines_are_marked_with_their_invocation(template: Callable[..., SandboxHost]) -> None:
    host = template("exports.handler = (event) => { console.log(`seen ${event.path}`); return 1; };")
    for name in ("A", "B"):
        served(host, path=f"/{name}", invocation=name * 26)
        assert host.logs.wait_for(f"seen /{name}") == (name * 26, f"seen /{name}")


def test_a_child_that_starts_programs_without_end_is_cleaned(template: Callable[..., SandboxHost]) -> None:
    code = """
const { spawn } = require('child_process');
exports.handler = () => {
  spawn('sh', ['-c', 'bomb() { bomb & bomb; }; bomb'], { stdio: 'ignore' });
  return 'bomb';
};
"""
    host = template(code)
    for _ in range(2):
        assert host.request().body == b"bomb"
        host.next_connection()
        host.agent.expect("done")


def test_the_template_ends_with_its_host(template: Callable[..., SandboxHost]) -> None:
    host = template("exports.handler = () => 1;")
    served(host)
    host.agent.close()
    assert host.supervisor.expect("exited")["code"] == 0
