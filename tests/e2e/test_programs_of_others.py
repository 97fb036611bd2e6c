"""What programs expect that were written elsewhere, each as a function of one project behind one `fnctl run`."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

import pytest

from tests.faults import rig
from tests.faults.rig import Running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(1800)]

FILES = {
    "python/requirements.txt": "fastapi\nuvicorn\npsutil\n",
    "python/interfaces.py": """
        import psutil

        def handler(event, context):
            return {name: [each.address for each in all] for name, all in psutil.net_if_addrs().items()}
        """,
    "node/interfaces.js": """
        const os = require('os');
        exports.handler = async () => os.networkInterfaces();
        """,
    "python/printing.py": """
        import subprocess
        import sys

        def handler(event, context):
            print("by print")
            sys.stdout.write(("y" * 90 + "\\n") * 800 + "y" * 45)
            sys.stdout.write("y" * 45 + "\\n")
            for name in ("/dev/stdout", "/dev/stderr"):
                with open(name, "w") as file:
                    file.write(f"{name} opened\\n")
                with open(name, "a") as file:
                    file.write(f"{name} appended to\\n")
                subprocess.run(["sh", "-c", f"echo {name} by a child > {name}; echo {name} by a child again >> {name}"])
            subprocess.run(["sh", "-c", "echo inherited; seq -f %0100g 1500 > /dev/stdout"])
            return "printed"
        """,
    "node/printing.js": """
        const fs = require('fs');
        const { execSync } = require('child_process');

        exports.handler = () => {
          console.log('by print');
          process.stdout.write(('y'.repeat(90) + '\\n').repeat(800) + 'y'.repeat(45));
          process.stdout.write('y'.repeat(45) + '\\n');
          for (const name of ['/dev/stdout', '/dev/stderr']) {
            fs.writeFileSync(name, `${name} opened\\n`);
            fs.appendFileSync(name, `${name} appended to\\n`);
            const child = `${name} by a child`;
            execSync(`echo ${child} > ${name}; echo ${child} again >> ${name}`, { stdio: 'inherit' });
          }
          execSync("echo inherited; seq -f %0100g 1500 > /dev/stdout", { stdio: 'inherit' });
          return 'printed';
        };
        """,
    "php/printing.php": """
        <?php
        function handler() {
            error_log('by print');
            exec('echo /dev/stderr by a child > /dev/stderr; echo /dev/stderr by a child again >> /dev/stderr');
            exec("echo inherited >&2; seq -f %0100g 1500 > /dev/stderr");
            return 'printed';
        }
        """,
    "command/serve": """
        #!/usr/bin/perl
        use Socket;
        socket(my $server, PF_INET, SOCK_STREAM, 0);
        bind($server, sockaddr_in($ENV{PORT}, INADDR_LOOPBACK)) && listen($server, 8) or die $!;
        $| = 1;
        while (accept(my $client, $server)) {
            sysread $client, my $request, 65536;
            print "by print\\n";
            for my $name ('/dev/stdout', '/dev/stderr') {
                for (['>', 'opened'], ['>>', 'appended to']) {
                    open(my $file, $_->[0], $name) or die "$name: $!";
                    print $file "$name $_->[1]\\n";
                }
                system "echo $name by a child > $name; echo $name by a child again >> $name";
            }
            system "echo inherited; seq -f %0100g 1500 > /dev/stdout";
            syswrite $client, "HTTP/1.1 200 OK\\r\\nContent-Type: text/plain\\r\\nContent-Length: 7\\r\\n\\r\\nprinted";
        }
        """,
    "python/raising.py": """
        import uvicorn
        from fastapi import FastAPI

        app = FastAPI()

        @app.get("/")
        def fine():
            return "fine"

        @app.get("/boom")
        def boom():
            raise RuntimeError("boom")

        if __name__ == "__main__":
            uvicorn.run(app, port=8000)
        """,
    "node/ending.js": """
        const http = require('http');
        http.createServer((request, response) => {
          if (request.url === '/boom') response.statusCode = 500;
          response.end('fine');
          if (request.url === '/boom') request.socket.end();
        }).listen(3000);
        """,
}
NETWORKS = ("none", "services", "egress")
PRINTING = {
    "python": "handler: printing.handler",
    "node": "handler: printing.handler",
    "php": "handler: printing.handler",
    "command": "command: ./serve",
}
MODELS = ("resident", "ephemeral")
FUNCTIONS = {
    "raising": "path: python, runtime: python3.13, handler: raising.py",
    "raising-asgi": "path: python, runtime: python3.13, handler: raising.app",
    "ending": "path: node, runtime: node24, handler: ending.js",
    **{f"interfaces-{network}": f"path: node, handler: interfaces.handler, network: {network}" for network in NETWORKS},
    "interfaces-python": "path: python, handler: interfaces.handler",
    **{
        f"printing-{language}-{model}": f"path: {language}, {how}, model: {model}"
        for language, how in PRINTING.items()
        for model in MODELS
    },
}


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    source = tmp_path_factory.mktemp("programs")
    for name, text in FILES.items():
        (source / name).parent.mkdir(parents=True, exist_ok=True)
        (source / name).write_text(textwrap.dedent(text).lstrip())
    (source / "command" / "serve").chmod(0o755)
    entries = [f"  {name}: {{{entry}}}\n" for name, entry in FUNCTIONS.items()]
    (source / "fnctl.yaml").write_text("functions:\n" + "".join(entries))
    with rig.desk(source) as desk, rig.running(desk, warm=2) as running:
        yield running
        running.stop()


@pytest.mark.parametrize("function", ["raising", "raising-asgi", "ending"])
def test_an_error_costs_no_other_request(running: Running, function: str) -> None:
    answers = [running.call(function, path).status for _ in range(20) for path in ("/boom", "/")]
    assert answers == [500, 200] * 20


@pytest.mark.parametrize(
    "function", ["interfaces-none", "interfaces-services", "interfaces-egress", "interfaces-python"]
)
def test_a_program_can_list_its_interfaces(running: Running, function: str) -> None:
    """`os.networkInterfaces()`, which Next.js and Fastify ask at their start; psutil; Go's is the same call."""
    found = running.call(function).json
    assert "lo" in found
    assert ("eth0" in found) == (function in ("interfaces-services", "interfaces-egress"))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("language", PRINTING)
def test_the_output_is_a_file_that_can_be_opened(running: Running, language: str, model: str) -> None:
    """Written, appended to and redirected to by its names, in every language; and nothing of it is lost."""
    names = ("/dev/stdout", "/dev/stderr")
    own, childs = ("opened", "appended to"), ("by a child", "by a child again")
    wanted = {"by print", "inherited"} | {f"{name} {how}" for name in names for how in (*own, *childs)}
    if language == "php":  # looks for the file that the name leads to, and exec() is where its child's output goes
        wanted = {"by print", "inherited", *(f"/dev/stderr {how}" for how in childs)}
    for _ in range(2):
        answer = running.call(f"printing-{language}-{model}")
        assert (answer.status, answer.body) == (200, b"printed"), answer.body

    def complete() -> bool:
        lines = [row for row in running.desk.lines(f"printing-{language}-{model}") if row["kind"] == "line"]
        texts = [row["text"] for row in lines]
        if language in ("python", "node") and texts.count("y" * 90) != 2 * 801:
            return False
        return all(texts.count(text) == 2 for text in wanted) and sum(len(text) == 100 for text in texts) == 3000

    until(complete, "all that it has printed")
    if language != "command":
        said = [row for row in running.desk.lines(f"printing-{language}-{model}") if row.get("text") == "by print"]
        assert all(row["id"] for row in said)
