"""What the PHP agent does beside what every agent does: pages in php-cgi, a worker a connection, FC's words."""

from __future__ import annotations

import threading

import pytest

from tests.contract.agents.conftest import Start
from tests.contract.agents.sandbox_host import Answer, SandboxHost

pytestmark = [pytest.mark.engine, pytest.mark.timeout(60, func_only=True)]

RUNTIME = "php8.4"


def page(start: Start, code: str, **more: str) -> SandboxHost:
    host = start(RUNTIME, {"index.php": f"<?php\n{code}", **more})
    assert host.load("index.php")["kind"] == "web"
    return host


def test_a_page_streams_what_it_flushes(start: Start) -> None:
    host = page(start, "echo 'first '; ob_flush(); flush(); echo strlen(file_get_contents('php://input'));")
    stream = host.connection
    stream.sendall(b"PUT / HTTP/1.1\r\nHost: f\r\nContent-Length: 4\r\n\r\n")
    got = b""
    while b"first " not in got:  # while the page waits for its body
        got += stream.recv(4096)
    stream.sendall(b"body")
    while not got.endswith(b"0\r\n\r\n"):
        got += stream.recv(4096)
    assert b"Transfer-Encoding: chunked" in got and b"1\r\n4\r\n" in got


def test_a_body_in_chunks_is_counted_first(start: Start) -> None:
    host = page(start, "echo $_SERVER['CONTENT_LENGTH'], ' ', $_POST['a'];")
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert host.request("POST", body=iter([b"a=", b"chunk"]), headers=form).body == b"7 chunk"


def test_a_length_that_a_page_announces_is_kept(start: Start) -> None:
    host = page(start, "header('Content-Length: 5'); echo 'hello and more';")
    assert host.request().body == b"hello"
    assert host.request("HEAD").headers["content-length"] == "5"
    assert host.request().body == b"hello"


def test_what_the_site_hides_and_what_it_finds(start: Start) -> None:
    files = {"public/index.php": "<?php echo 'front ', $_SERVER['PATH_INFO'] ?? '';", "secret.txt": "outside",
             "public/.hidden/a.txt": "hidden", "public/sub/index.php": "<?php echo 'sub', $_SERVER['PATH_INFO'] ?? '';",
             "public/doc/index.html": "doc",
             "public/a b.txt": "spaced"}  # fmt: skip
    host = start(RUNTIME, files)
    host.load("public/index.php")
    (host.folder / "app/public/link.txt").symlink_to("../secret.txt")
    answers = {path: host.request(path=path).body.decode() for path in (
        "/", "/x/y", "/../secret.txt", "/%2e%2e/secret.txt", "/secret.txt", "/.hidden/a.txt", "/link.txt", "/sub/",
        "/doc/", "/a%20b.txt", "/sub/users/7", "/sub//users",
    )}  # fmt: skip
    assert answers == {
        "/": "front ", "/x/y": "front /x/y", "/../secret.txt": "front /../secret.txt",
        "/%2e%2e/secret.txt": "front /../secret.txt", "/secret.txt": "front /secret.txt",
        "/.hidden/a.txt": "front /.hidden/a.txt", "/link.txt": "front /link.txt", "/sub/": "sub", "/doc/": "doc",
        "/a%20b.txt": "spaced", "/sub/users/7": "sub/users/7", "/sub//users": "sub/users",
    }  # fmt: skip
    assert host.request("DELETE", "/doc/").status == 405


def test_a_page_is_told_of_the_client_as_php_tells(start: Start) -> None:
    told = (
        "$_SERVER['HTTP_X_A']", "getenv('HTTP_PROXY')", "$_SERVER['PHP_AUTH_USER']", "$_ENV['GREETING']",
        "getenv('GREETING')", "PHP_SAPI", "getcwd()", "$_SERVER['REQUEST_URI']", "ini_get('memory_limit')",
    )  # fmt: skip
    host = page(start, f"echo json_encode([{', '.join(told)}]);")
    headers = {"X-A": "b", "Proxy": "http://evil", "Authorization": "Basic YW5uOnNlY3JldA=="}
    assert host.request(path="/p?q=1", headers=headers).json == [
        "b", False, "ann", "hëllo", "hëllo", "cgi-fcgi", "/fn/app", "/p?q=1", "-1",
    ]  # fmt: skip


def test_the_port_is_that_of_the_address_that_the_client_has(start: Start) -> None:
    host = page(start, "echo $_SERVER['SERVER_PORT'];")
    assert host.request(headers={"Host": "shop.localhost:8080"}).body == b"8080"
    assert host.request(headers={"Host": "shop.example"}).body == b"80"
    assert host.request(headers={"Host": "shop.example", "X-Forwarded-Proto": "https"}).body == b"443"


LOAD_ERRORS = [
    ("index.php", "\n$a = = 1;", "ParseError", "index.php", 3),
    ("index.handler", "\nrequire __DIR__ . '/other.php';", "ParseError", "other.php", 2),
    ("index.handler", "\n\nthrow new DomainException('no');", "DomainException", "index.php", 4),
    ("index.handler", "function a() {}\nfunction a() {}", "FatalError", "index.php", 3),
    ("index.handler", "exit(0);", "Exit", None, None),
]


@pytest.mark.parametrize(("handler", "code", "kind", "file", "line"), LOAD_ERRORS)
def test_load_errors(start: Start, handler: str, code: str, kind: str, file: str | None, line: int | None) -> None:
    host = start(RUNTIME, {"index.php": f"<?php\n{code}\n", "other.php": "<?php\n$a = = 1;\n"})
    host.send_load(handler)
    failed = host.agent.expect("load_failed")
    assert (failed["type"], failed.get("file"), failed.get("line")) == (kind, file, line)
    assert "/opt/fnctl" not in failed["stack"]
    assert host.supervisor.expect("exited")["code"] == 1


def test_an_initializer_that_fails_is_a_load_that_fails(start: Start) -> None:
    code = "<?php\nfunction initializer($context) {\n  throw new Exception('no database');\n}\nfunction handler() {}\n"
    host = start(RUNTIME, {"index.php": code})
    host.send_load("index.handler", contract="fc-event", initializer="index.initializer")
    failed = host.agent.expect("load_failed")
    assert (failed["message"], failed["file"], failed["line"]) == ("no database", "index.php", 3)


def test_what_fc_does_not_take_is_a_bad_response(start: Start) -> None:
    host = start(RUNTIME, {"index.php": "<?php\nfunction handler($request, $context) { return 'text'; }\n"})
    host.load("index.handler", contract="fc-http")
    answer = host.request()
    assert (answer.status, answer.headers["x-fnctl-error"]) == (502, "bad_response")
    assert "RingCentral" in answer.json["error"]["message"]


def test_workers_share_nothing_and_mark_their_own_lines(start: Start) -> None:
    code = """<?php
$calls = 0;
function handler($event) {
    global $calls;
    $calls += 1;
    touch('/tmp/in' . strtr($event['path'], '/', '-'));
    while (count(glob('/tmp/in*')) < 2) { usleep(1000); }
    fwrite(STDERR, "in $event[path]\\n");
    passthru("echo program $event[path]");
    return ['calls' => $calls, 'pid' => getmypid()];
}
"""
    host = start(RUNTIME, {"f.php": code})
    host.load("f.handler")
    (other,) = host.dial(1)
    answers: dict[str, Answer] = {}

    def ask(path: str, **on: object) -> None:
        answers[path] = host.request(path=path, invocation=path[1] * 26, **on)  # type: ignore[arg-type]

    second = threading.Thread(target=lambda: ask("/b", on=other))
    second.start()
    ask("/a")
    second.join(20)
    assert [answers[path].json["calls"] for path in ("/a", "/b")] == [1, 1]
    assert answers["/a"].json["pid"] != answers["/b"].json["pid"]
    for path in ("/a", "/b"):
        assert host.logs.wait_for(f"in {path}")[0] == path[1] * 26
        assert host.logs.wait_for(f"program {path}")[0] == path[1] * 26


def test_function_compute_3_hands_over_the_request_as_json(start: Start) -> None:
    code = r"""<?php
function handler($event, $context) {
    $request = json_decode($event, true);
    if ($request['rawPath'] === '/plain') { return ['env' => getenv('FC_FUNCTION_NAME'), 'body' => $request['body']]; }
    $headers = ['X-A' => 'b'];
    return ['statusCode' => 203, 'headers' => $headers, 'isBase64Encoded' => true, 'body' => base64_encode("\x00\xff")];
}
"""
    host = start(RUNTIME, {"f.php": code})
    host.load("f.handler", contract="fc3-http")
    plain = host.request("POST", "/plain?a=1", body="hi")
    assert (plain.headers["content-type"], plain.json) == ("application/json", {"env": "tested", "body": "hi"})
    full = host.request()
    assert (full.status, full.headers["x-a"], full.body) == (203, "b", b"\0\xff")
