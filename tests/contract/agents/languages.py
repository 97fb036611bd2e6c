"""The same small functions in every language, so that one suite asks the same of all agents."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Language:
    """How one language spells the functions of the suite."""

    runtime: str
    files: Mapping[str, str]
    program: str  # a web app, run as the main program
    broken: tuple[str, int]  # a file that does not parse, and the line
    syntax_error: str = "SyntaxError"
    forks: bool = False  # an ephemeral invocation is a fork of its agent's
    # A program starts, listens, and sees bodies as they come; a page is run for each request, when its body is there.
    serves_by_listening: bool = True
    web_end: tuple[int, int] = (7, 0)  # exit code and signal of the web app's /exit

    def __str__(self) -> str:
        return self.runtime


_NODE_EVENTS = r"""
const fs = require('fs');
const net = require('net');
const { spawn } = require('child_process');

exports.mirror = async (event, context) => ({ event, context: { ...context, left: context.remainingMs() > 0 } });
exports.text = () => 'plain';
exports.bytes = async () => Buffer.from([0, 1, 255]);
exports.nothing = () => null;
exports.items = () => [1, 'two', null];
exports.full = () => ({ statusCode: 201, headers: { 'X-A': 'b', 'Set-Cookie': ['a=1', 'b=2'] }, body: { made: true } });
exports.base64 = () => ({ statusCode: 200, body: 'AAH/', isBase64Encoded: true });
exports.raises = () => { throw new TypeError('it broke'); };
exports.bad_status = () => ({ statusCode: 999 });
exports.bad_json = () => { const a = {}; a.a = a; return a; };
exports.bad_header = () => ({ statusCode: 200, headers: { 'X-A': 'b\r\nX-Evil: 1' }, body: '' });
exports.logs = async (event) => {
  console.log(`one ${event.path}`);
  await null;
  console.error('two');
  process.stdout.write('thr');
  process.stdout.write('ee');
};
exports.dies = () => process.exit(3);
exports.env = () => ({
  greeting: process.env.GREETING,
  home: process.env.HOME,
  internal: Object.keys(process.env).filter((name) => name.startsWith('FNCTL')),
  cwd: process.cwd(),
});
exports.hangs = () => { console.log('hanging'); for (;;); };

let count = 0;
exports.residue = () => {
  const known = ['1', String(process.pid), String(process.ppid)];
  const seen = {
    count,
    leaked: process.env.LEAK ?? null,
    tmp: fs.readdirSync('/tmp'),
    shm: fs.readdirSync('/dev/shm'),
    processes: fs.readdirSync('/proc').filter((name) => /^\d+$/.test(name) && !known.includes(name)).length,
    abstract: fs.readFileSync('/proc/net/unix', 'utf8').includes('@left-behind'),
  };
  count += 1;
  process.env.LEAK = 'yes';
  fs.mkdirSync('/tmp/deep/' + 'd/'.repeat(300), { recursive: true });
  fs.writeFileSync('/tmp/deep/locked', 'x');
  fs.chmodSync('/tmp/deep', 0);
  fs.writeFileSync('/tmp/new\nline', 'x');
  fs.symlinkSync('/fn/app', '/tmp/link');
  fs.writeFileSync('/dev/shm/\u{1f600} ', 'x');
  spawn('setsid', ['-f', 'sleep', '1000'], { stdio: 'ignore', detached: true }).unref();
  return new Promise((done) => net.createServer().listen('\0left-behind', () => done(seen)));
};
"""

_NODE_WEB = r"""
const crypto = require('crypto');
const http = require('http');
let held = [];
http.createServer((request, response) => {
  if (request.url === '/digest') {
    const digest = crypto.createHash('sha1');
    return request.on('data', (data) => digest.update(data)).on('end', () => response.end(digest.digest('hex')));
  }
  if (request.url === '/barrier') {
    held.push(response);
    if (held.length === 2) { held.forEach((one) => one.end('both')); held = []; }
    return undefined;
  }
  if (request.url === '/stream') {
    response.write('first\n');
    request.once('data', () => response.end('second\n'));
    return undefined;
  }
  if (request.url === '/large') return response.end('x'.repeat(5_000_000));
  if (request.url === '/head') {
    response.setHeader('X-Kept', 'As-Is');
    response.statusCode = 418;
    return response.end('teapot');
  }
  if (request.url === '/exit') return process.exit(7);
  console.log('serving');
  return response.end(`${request.method} ${request.url} ${request.socket.remoteAddress}`);
}).listen(process.env.PORT, () => console.log('listening'));
"""

_PYTHON_EVENTS = r"""
import asyncio, os, socket, subprocess, sys, time

async def mirror(event, context):
    names = ("id", "function", "version", "memory_mb", "deadline_ms")
    told = {name: getattr(context, name) for name in names}
    return {"event": event, "context": {**told, "left": context.remaining_ms() > 0}}

def text(event, context): return "plain"
async def bytes(event, context): return b"\0\1\xff"
def nothing(event, context): return None
def items(event, context): return [1, "two", None]
def full(event, context):
    return {"statusCode": 201, "headers": {"X-A": "b", "Set-Cookie": ["a=1", "b=2"]}, "body": {"made": True}}
def base64(event, context): return {"statusCode": 200, "body": "AAH/", "isBase64Encoded": True}
def raises(event, context): raise TypeError("it broke")
def bad_status(event, context): return {"statusCode": 999}
def bad_json(event, context): return {"a": object()}
def bad_header(event, context):
    return {"statusCode": 200, "headers": {"X-A": "b\r\nX-Evil: 1"}, "body": ""}

async def logs(event, context):
    print(f"one {event['path']}")
    await asyncio.sleep(0)
    print("two", file=sys.stderr)
    sys.stdout.write("thr")
    sys.stdout.write("ee")

def dies(event, context): os._exit(3)
def env(event, context):
    internal = [name for name in os.environ if name.startswith("FNCTL")]
    return {"greeting": os.environ["GREETING"], "home": os.environ["HOME"], "internal": internal, "cwd": os.getcwd()}

def hangs(event, context):
    print("hanging")
    while True: pass

count = 0
def residue(event, context):
    global count
    pids = {"1", str(os.getpid()), str(os.getppid())}
    seen = {"count": count, "leaked": os.environ.get("LEAK"), "tmp": os.listdir("/tmp"), "shm": os.listdir("/dev/shm"),
            "processes": len([n for n in os.listdir("/proc") if n.isdigit() and n not in pids]),
            "abstract": "@left-behind" in open("/proc/net/unix").read()}
    count += 1
    os.environ["LEAK"] = "yes"
    os.makedirs("/tmp/deep/" + "d/" * 300)
    open("/tmp/deep/locked", "w").close()
    os.chmod("/tmp/deep", 0)
    open("/tmp/new\nline", "w").close()
    open(b"/tmp/\xff\xfe", "w").close()
    os.symlink("/fn/app", "/tmp/link")
    open("/dev/shm/\U0001f600 ", "w").close()
    subprocess.Popen(["setsid", "-f", "sleep", "1000"])
    left = socket.socket(socket.AF_UNIX)
    left.bind("\0left-behind")
    left.listen()
    return seen
"""

_PYTHON_WEB = r"""
import hashlib, os, threading

barrier = threading.Barrier(2)

def app(environ, start_response):
    path = environ["PATH_INFO"]
    body = environ["wsgi.input"]
    if path == "/exit":
        os._exit(7)
    if path == "/head":
        start_response("418 I'm a Teapot", [("X-Kept", "As-Is"), ("Content-Length", "6")])
        return [b"teapot"]
    start_response("200 OK", [])
    if path == "/digest":
        digest = hashlib.sha1()
        while data := body.read1(65536):
            digest.update(data)
        return [digest.hexdigest().encode()]
    if path == "/barrier":
        barrier.wait(20)
        return [b"both"]
    if path == "/stream":
        return stream(body)
    if path == "/large":
        return [b"x" * 5_000_000]
    print("serving")
    return [f"{environ['REQUEST_METHOD']} {path} {environ['REMOTE_ADDR']}".encode()]

def stream(body):
    yield b"first\n"
    body.read1(10)
    yield b"second\n"

print("listening")
"""

_PHP_EVENTS = r"""<?php
function mirror(array $event, object $context): array {
    return ['event' => $event, 'context' => [...get_object_vars($context), 'left' => $context->remaining_ms() > 0]];
}
function text() { return 'plain'; }
function bytes() { return "\0\1\xff"; }
function nothing() { return null; }
function items() { return [1, 'two', null]; }
function full() {
    $headers = ['X-A' => 'b', 'Set-Cookie' => ['a=1', 'b=2']];
    return ['statusCode' => 201, 'headers' => $headers, 'body' => ['made' => true]];
}
function base64() { return ['statusCode' => 200, 'body' => 'AAH/', 'isBase64Encoded' => true]; }
function raises() { throw new TypeError('it broke'); }
function bad_status() { return ['statusCode' => 999]; }
function bad_json() { return ['a' => NAN]; }
function bad_header() { return ['statusCode' => 200, 'headers' => ['X-A' => "b\r\nX-Evil: 1"], 'body' => '']; }
function logs($event) {
    echo "one {$event['path']}\n";
    error_log('two');
    fwrite(fopen('php://stderr', 'w'), 'thr');
    echo 'ee';
}
function dies() { exit(3); }
function env() {
    $internal = array_values(array_filter(array_keys(getenv()), fn ($name) => str_starts_with($name, 'FNCTL')));
    return ['greeting' => $_ENV['GREETING'], 'home' => getenv('HOME'), 'internal' => $internal, 'cwd' => getcwd()];
}
function hangs() { echo "hanging\n"; for (;;); }

$count = 0;
function residue() {
    global $count, $left;
    $listed = fn ($folder) => array_values(array_diff(scandir($folder), ['.', '..']));
    $known = ['1', (string) getmypid(), (string) posix_getppid()];
    $seen = [
        'count' => $count,
        'leaked' => getenv('LEAK') ?: null,
        'tmp' => $listed('/tmp'),
        'shm' => $listed('/dev/shm'),
        'processes' => count(array_diff(array_filter(scandir('/proc'), ctype_digit(...)), $known)),
        'abstract' => str_contains(file_get_contents('/proc/net/unix'), '@left-behind'),
    ];
    $count += 1;
    putenv('LEAK=yes');
    mkdir('/tmp/deep/' . str_repeat('d/', 300), recursive: true);
    touch('/tmp/deep/locked');
    chmod('/tmp/deep', 0);
    touch("/tmp/new\nline");
    touch("/tmp/\xff\xfe");
    symlink('/fn/app', '/tmp/link');
    touch("/dev/shm/\u{1f600} ");
    exec('setsid -f sleep 1000 > /dev/null 2>&1');
    $left = stream_socket_server("unix://\0left-behind");
    return $seen;
}
"""

_PHP_WEB = r"""<?php
error_log('listening');
switch (parse_url($_SERVER['REQUEST_URI'], PHP_URL_PATH)) {
    case '/digest':
        echo sha1(file_get_contents('php://input'));
        break;
    case '/barrier':
        touch('/tmp/barrier-' . getmypid());
        while (count(glob('/tmp/barrier-*')) < 2) {
            usleep(1000);
        }
        echo 'both';
        break;
    case '/large':
        echo str_repeat('x', 5_000_000);
        break;
    case '/head':
        header('X-Kept: As-Is');
        http_response_code(418);
        echo 'teapot';
        break;
    case '/exit':
        posix_kill(getmypid(), SIGKILL);
        break;
    default:
        echo "$_SERVER[REQUEST_METHOD] $_SERVER[REQUEST_URI] $_SERVER[REMOTE_ADDR]";
}
"""

NODE = Language(
    runtime="node24",
    files={"events.js": _NODE_EVENTS, "web.js": _NODE_WEB, "broken.js": "const a = 1;\nconst a = 2;\n"},
    program="web.js",
    broken=("broken.js", 2),
)
PYTHON = Language(
    runtime="python3.13",
    files={"events.py": _PYTHON_EVENTS, "web.py": _PYTHON_WEB, "broken.py": "a = 1\nif a\n    a = 2\n"},
    program="web.py",
    broken=("broken.py", 2),
    forks=True,
)
PHP = Language(
    runtime="php8.4",
    files={"events.php": _PHP_EVENTS, "web.php": _PHP_WEB, "broken.php": "<?php\n$a = = 2;\n"},
    program="web.php",
    broken=("broken.php", 2),
    syntax_error="ParseError",
    forks=True,
    serves_by_listening=False,
    web_end=(0, 9),
)
LANGUAGES = (NODE, PYTHON, PHP)
