"""Every command of the tutorial, the guides and the concepts runs as it stands, page by page, or is listed here with
the reason why not. (README.md has a test of its own, test_readme.py.)

A page's commands run in one shell, in order, in a folder that its scene prepares. What differs from what a reader
types: the port, a pool of one where the page names none, and that `fnctl run` in the foreground gets `--detach`.
"""

from __future__ import annotations

import os
import re
import shlex
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support import homes
from tests.support.ports import free_port

pytestmark = [pytest.mark.engine, pytest.mark.timeout(600)]

ROOT = Path(__file__).parents[2]
DOCS = ROOT / "docs"
PAGES = [DOCS / "tutorial.md", *sorted(DOCS.glob("guides/*.md")), *sorted(DOCS.glob("concepts/*.md"))]
FENCED = re.compile(r"^(?: *)```(\w*)\n(.*?)^ *```$", re.DOTALL | re.MULTILINE)
SHELLS = ("sh", "bash", "console", "shell")

# Command: why it is not run.
NOT_RUN = {
    "npm ci && npm start": "a server on the host's own Node, without fnctl; the apps alone are in test_todolist.py",
    "fnctl bench todolist-express --path /api/todos": "a minute of measuring; test_bench.py has a shorter one",
    "fnctl bench express-list": "as the one before",
    "cd .. && fnctl init verification --template verification && cd verification && fnctl run": (
        "test_template_verification.py does what the template's README says"
    ),
    "/opt/fnctl-2/bin/fnctl restart": "another installation; the page has `fnctl restart` of this one",
    "sudo fnctl install-service --port 8080 --as fnctl -- --warm 3": "needs systemd; test_install_service.py starts it",
    "docker run --rm -p 8080:8080 localhost:5000/team/shop:1.4": "110 MB through Docker; building.md runs one",
}

# Command: what is run in its place. Where a reader fills in a name, or sits at a terminal.
INSTEAD = {
    "fnctl workflow show RUN": 'fnctl workflow show "$(ended)"',
    "fnctl workflow graph RUN": 'fnctl workflow graph "$(ended)"',
    "fnctl workflow history RUN --io": 'fnctl workflow history "$(ended)" --io',
    # 1: this run has ended already
    "fnctl workflow cancel RUN": 'fnctl workflow cancel "$(ended)" || test $? = 1',
    "fnctl workflow retry RUN": 'fnctl workflow retry "$(ended)" || test $? = 1',
    "fnctl workflow retry RUN --from confirmed": 'fnctl workflow retry "$(ended)" --from confirmed',
    "fnctl logs --follow": "timeout 1 fnctl logs --follow || test $? = 124",
    # the last that is of an invocation: what services say has no id
    "fnctl logs --id ID": (
        'fnctl logs --id "$(fnctl logs -o json | sed -n \'s/.*"id": *"\\([^"]*\\)".*/\\1/p\' | tail -1)"'
    ),
    "fnctl queue show --wait ID": 'fnctl queue show --wait "$(fnctl invoke mail --async -d x)"',
    "curl -i -X POST http://express.localhost:8080/api/todos": (
        "curl -i -X POST http://express.localhost:8080/api/todos | grep '^HTTP/1.1 400'"
    ),
    # of this project alone: other tests use the same engine
    "fnctl prune --all --volumes": "fnctl prune --all --volumes --dry-run",
    "fnctl prune --machine --yes": "fnctl prune --machine --dry-run",
    'fnctl logs -o json | jq \'select(.kind == "receipt" and .verdict != "ok")\'': "fnctl logs -o json",
    "docker exec -it CONTAINER sh": 'docker exec "$(container)" sh -c true',
    "docker run --rm -p 8080:8080 -e PORT=8080 -e GREETING=hello fnctl/PROJECT/FUNCTION:latest": (
        'C=$(docker run -d --rm -p 127.0.0.1::8080 -e PORT=8080 -e GREETING=hello "$(image greet)");'
        ' answers "$(docker port "$C" 8080)"; docker rm -f "$C"'
    ),
    "docker run -v ./db_password.txt:/run/secrets/db_password:ro -p 8080:8080 IMAGE": (
        'C=$(docker run -d --rm -v "$PWD/db_password.txt:/run/secrets/db_password:ro" -p 127.0.0.1::8080'
        ' "$(image shop)"); answers "$(docker port "$C" 8080)" | grep hush; docker rm -f "$C"'
    ),
    "fnctl doctor": "fnctl doctor --port $FNCTL_PORT || test $? = 1",  # 1: something of this machine is not well
    "fnctl doctor -o json": "fnctl doctor -o json --port $FNCTL_PORT || test $? = 1",
}

# A release that does not load changes nothing; then the next one takes over. On a busy machine a container may be late
# before the code is: then it is asked again.
DEPLOY = """
export FNCTL_HOME=$PWD/home && answers localhost:8080 | grep 'Hello, world'
cp ../shop/handler.js keep && echo 'throw new Error("broken on purpose")' >> ../shop/handler.js
(cd ../shop && FNCTL_HOME=$PWD/../../h fnctl ship --to localhost:5000/team/shop:bad)
deploy_bad() { fnctl deploy localhost:5000/team/shop:bad 2>why && exit 1 || grep 'broken on purpose' why; }
deploy_bad || deploy_bad || deploy_bad || { cat why; exit 1; }
answers localhost:8080 | grep 'Hello, world'
fnctl deploy localhost:5000/team/shop:1.5 && answers localhost:8080 | grep 'Good evening, world'
mv keep ../shop/handler.js
export FNCTL_HOME=$PWD/../../h
"""
INSTEAD |= {
    # of another folder, by another user's umask, at another time: the promise of the page
    "cd .. && cp -r shop copy && cd copy": "cd .. && cp -r shop copy && cd copy && umask 077 && touch *",
    "FNCTL_HOME=$PWD/home fnctl deploy localhost:5000/team/shop:1.5": DEPLOY,
    "FNCTL_HOME=$PWD/home fnctl rollback": (
        "FNCTL_HOME=$PWD/home fnctl rollback && answers localhost:8080 | grep 'Hello, world'"
    ),
    "curl -s http://next--shop.localhost:8080/": "curl -s http://next--shop.localhost:8080/ | grep 'Good evening'",
    "fnctl ship --to localhost:5000/team/shop:copy": (
        "fnctl ship --to localhost:5000/team/shop:copy && "
        "digest localhost:5000/v2/team/shop copy >a && digest localhost:5000/v2/team/shop 1.5 >b && cmp a b"
    ),
}

# What a page presumes: files, and a service that runs.
HELPERS = """
image() { fnctl build -o json "$1" 2>/dev/null | grep -o 'fnctl/[^"]*' | head -1; }
container() { fnctl ps -o json | grep -m1 '"sandbox"' | grep -o '[0-9a-f]\\{12\\}'; }
INDEX='Accept: application/vnd.oci.image.index.v1+json'
digest() { curl -sI -H "$INDEX" "http://$1/manifests/$2" | grep -i '^docker-content-digest: sha256:'; }
ended() {
  fnctl workflow run order --input '{"item": "tea"}' >&2
  fnctl workflow ls -o json | sed -n 's/.*"id": *"\\([^"]*\\)".*/\\1/p' | head -1
}
answers() { for _ in $(seq 100); do curl -sf "http://$1/" && return; sleep 0.1; done; return 1; }
"""
FC3 = """
mkdir -p hello/code && cat > hello/s.yaml <<'END'
edition: 3.0.0
name: hello
resources:
  hello:
    component: fc3
    props:
      functionName: hello
      runtime: python3.10
      handler: index.handler
      code: ./code
      triggers:
        - triggerName: http
          triggerType: http
          triggerConfig: {authType: anonymous, methods: [GET]}
        - triggerName: nightly
          triggerType: timer
          triggerConfig: {cronExpression: '0 0 4 * * *', enable: true}
END
printf 'import json\n\n\ndef handler(event, context):\n    return json.loads(event)["rawPath"]\n' > hello/code/index.py
"""
SHOP = """
fnctl init shop >/dev/null && cd shop && printf hush > db_password.txt && cat > server.js <<'END'
const secret = require('fs').readFileSync('/run/secrets/db_password')
require('http').createServer((req, res) => res.end(secret)).listen(process.env.PORT)
END
cat > fnctl.yaml <<'END'
secrets:
  db_password: {file: ./db_password.txt}
functions:
  shop: {runtime: node24, handler: server.js, secrets: [db_password]}
END
"""
MAILER = """
mkdir -p mailer && cd mailer && cat > mail.js <<'END'
require('http').createServer((req, res) => res.end('sent')).listen(process.env.PORT)
END
cat > fnctl.yaml <<'END'
functions:
  mail:
    runtime: node24
    handler: mail.js
    triggers:
      - timer: {cron: "0 3 * * *"}
      - event: {}
END
fnctl run --detach
"""
SHIP = """
cat > registry.yml <<END
version: 0.1
storage: {filesystem: {rootdirectory: $PWD/registry}}
http: {addr: "127.0.0.1:5000"}
END
docker-registry serve registry.yml >registry.log 2>&1 &
trap "kill $!; cd $PWD/server && FNCTL_HOME=$PWD/server/home fnctl stop >/dev/null 2>&1 || true" EXIT
"""
WORKER = """
mkdir -p worker && cd worker && cat > worker.py <<'END'
def main(event, context):
    return {"batchItemFailures": []}
END
cat > fnctl.yaml <<'END'
functions:
  worker:
    runtime: python3.13
    handler: worker.main
    triggers:
      - queue: {name: jobs}
queues:
  jobs: {dead_letters: jobs-failed}
  jobs-failed: {}
END
fnctl run --detach
"""
TODOLIST = """
test -d todolist || fnctl init todolist --template todolist-express
cd todolist
fnctl run --detach
echo '{"title": "Milk"}' > body.json
curl -s http://todolist-express.localhost:8080/api/todos
"""
WORKFLOWS = """
mkdir -p shop && cd shop && cat > stock.py <<'END'
def main(event, context):
    return event["json"]
END
cat > pay.py <<'END'
def main(event, context):
    return {"id": 7}
END
cat > fnctl.yaml <<'END'
functions:
  stock: {runtime: python3.13, handler: stock.main}
  pay: {runtime: python3.13, handler: pay.main}
workflows:
  order: ./order.yaml
END
cat > order.yaml <<'END'
document: {dsl: '1.0.3', namespace: shop, name: order, version: '1.0.0'}
do:
  - reserve: {call: stock, with: {take: '${ .item }'}, compensate: [{release: {call: stock}}]}
  - confirmed: {set: {paid: '${ .take }'}}
END
fnctl run --detach
"""
SCENES = {
    "guides/workflows.md": WORKFLOWS,
    "tutorial.md": "",
    "guides/async-and-timers.md": MAILER,
    "concepts/keep-alive.md": "",
    "guides/building.md": "fnctl init greet && cd greet",
    "guides/configuration.md": "fnctl init settings && cd settings",
    "guides/debugging.md": TODOLIST,
    "guides/from-a-cloud.md": FC3,
    "guides/queues.md": WORKER,
    "guides/on-a-server.md": "fnctl init served && cd served",
    "guides/upgrading.md": "fnctl init upgraded && cd upgraded && fnctl run --detach",
    "guides/proxy-and-ca.md": "fnctl init proxied && cd proxied",
    "guides/secrets-and-environment.md": SHOP,
    "guides/ship.md": SHIP,
    "guides/testing.md": "",
}


def commands(page: Path) -> list[str]:
    """Of the page's shell blocks: a line each, without prompt and comment."""
    found = []
    for language, block in FENCED.findall(page.read_text(encoding="utf-8")):
        for line in block.replace("\\\n", " ").splitlines() if language in SHELLS else ():
            command = re.sub(r"(^|\s+)# .*$", "", line.removeprefix("$ ")).strip()
            found += [command] if command else []
    return found


def outputs(page: Path) -> list[str]:
    """The lines of the text blocks right below shell blocks: what a command prints, less what is left out (…)."""
    shown = re.findall(r"^```sh\n[^`]*^```\n\n```text\n(.*?)^```$", page.read_text("utf-8"), re.DOTALL | re.MULTILINE)
    return [line for block in shown for line in block.splitlines() if line and "…" not in line]


def name(page: Path) -> str:
    return page.relative_to(DOCS).as_posix()


SHOWN = {name(page): found for page in PAGES if (found := commands(page))}


def as_run(command: str, port: str, registry: str) -> str:
    if command in NOT_RUN:
        return ":"
    command = INSTEAD.get(command, command)
    if re.match(r"fnctl run\b", command) and not re.search(r"\s(-d|--detach)\b", command):
        command += " --detach"
    command = command.replace("localhost:5000", f"localhost:{registry}")
    return command.replace(":8080", f":{port}") if "docker run" not in command else command


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder for all pages, with a home, a `fnctl` command and a folder for each page. Short, since sockets lie deep
    below it."""
    folder = tmp_path_factory.mktemp("d")
    homes.made(folder / "h")
    command = folder / "bin" / "fnctl"
    command.parent.mkdir()
    command.write_text(f'#!/bin/sh\nexec {sys.executable} -m fnctl.cli.main "$@"\n')
    command.chmod(0o755)
    yield folder
    for project in (each.parent for each in folder.glob("*/*/fnctl.yaml")):
        subprocess.run(["fnctl", "stop"], cwd=project, env=environment(folder, "0"), capture_output=True, timeout=120)


def environment(place: Path, port: str) -> dict[str, str]:
    return {
        **os.environ,
        "FNCTL_HOME": str(place / "h"),
        "FNCTL_PORT": port,
        "FNCTL_WARM": "1",
        "PYTHONPATH": str(ROOT),
        "PATH": f"{place / 'bin'}:{os.environ['PATH']}",
        "NO_COLOR": "1",
    }


@pytest.mark.parametrize("page", SHOWN)
def test_page(page: str, place: Path) -> None:
    port, registry = str(free_port()), str(free_port())
    lines = [f"echo {shlex.quote(f'$ {command}')}\n{as_run(command, port, registry)}" for command in SHOWN[page]]
    scene = SCENES[page].replace(":8080", f":{port}").replace(":5000", f":{registry}")
    script = "\n".join(["set -euo pipefail", HELPERS, scene, *lines, "fnctl stop >/dev/null 2>&1 || true"])
    own = place / str(sorted(SHOWN).index(page))  # two pages may have projects of one name
    own.mkdir()
    done = subprocess.run(
        ["bash", "-c", script], cwd=own, env=environment(place, port),
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, f"the last command shown failed:\n{done.stdout}"
    assert [line for line in outputs(DOCS / page) if line not in done.stdout] == []


def test_what_is_listed_is_in_the_pages() -> None:
    shown = {command for found in SHOWN.values() for command in found}
    assert sorted({*NOT_RUN, *INSTEAD} - shown) == []
    assert sorted(SCENES) == sorted(SHOWN)
