"""What PID 1 of a sandbox does: starts agents with exactly what the host says, cleans up, and leaves with the host."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from fnctl import catalog
from fnctl.engine.docker import DockerEngine
from fnctl.protocol import messages
from tests.contract.agents.sandbox_host import SandboxHost, running
from tests.support.waiting import until

pytestmark = [pytest.mark.engine, pytest.mark.timeout(60, func_only=True)]

PERL = "/usr/bin/perl"


@pytest.fixture
def sandbox(engine: DockerEngine, sandbox_image: str) -> Iterator[SandboxHost]:
    """A base container: a supervisor that waits."""
    with running(engine, sandbox_image, catalog.runtimes()["node24"]) as host:
        yield host


def run(sandbox: SandboxHost, script: str, **env: str) -> dict[str, object]:
    """Boot a Perl script as the agent; how it ended."""
    sandbox.supervisor.send(messages.boot([PERL, "-e", script], env))
    sandbox.supervisor.expect("started")
    return sandbox.supervisor.expect("exited")


def test_argv_and_environment_arrive_as_sent(sandbox: SandboxHost) -> None:
    odd = 'quote " backslash \\ newline \n tab \t euro € smile \U0001f600 nul-free {"a":[1]}'
    script = r'$| = 1; print "$_=" . unpack("H*", $ENV{$_}) . "\n" for sort keys %ENV'
    assert run(sandbox, script, ODD=odd, EMPTY="")["code"] == 0
    assert sandbox.logs.wait_for("ODD=")[1] == "ODD=" + odd.encode().hex()
    assert sandbox.logs.wait_for("EMPTY=")[1] == "EMPTY="
    own = {line.partition("=")[0] for _, line in sandbox.logs.lines}
    user = {"HOME", "USER", "LOGNAME", "HOSTNAME"}
    assert own == {"ODD", "EMPTY", *user, "PATH", "LANG", "FNCTL_SUPERVISED", "FNCTL_WIPE"}


def test_ends_are_told_with_code_signal_and_figures(sandbox: SandboxHost) -> None:
    assert (ended := run(sandbox, "exit 9"))["code"] == 9 and ended["signal"] == 0
    assert (ended := run(sandbox, "kill 15, $$"))["code"] == 0 and ended["signal"] == 15
    ended = run(sandbox, "my $s = 'x' x 50_000_000; my $t = times; 1 while (times)[0] - $t < 0.2")
    assert float(str(ended["cpu_ms"])) >= 200
    assert int(str(ended["peak_kb"])) > 50_000


def test_a_program_that_is_not_there(sandbox: SandboxHost) -> None:
    sandbox.supervisor.send(messages.boot(["/no/such/program"], {}))
    assert "/no/such/program" in sandbox.supervisor.expect("error")["message"]
    assert sandbox.supervisor.expect("exited")["signal"] == 9
    assert run(sandbox, "exit 0")["code"] == 0


LITTER = r"""
use strict; use utf8;
for my $top ('/tmp', '/dev/shm') {
    chdir $top or die;
    open(my $f, '>', "new\nline") or die;
    open($f, '>', $_) or die for ' lead', "\xff\xfe", '.hidden', '-rf';
    symlink '/fn', 'link'; symlink '.', 'loop'; symlink 'nowhere', 'dangling';
    mkdir 'deep'; chdir 'deep' or die;
    for (1 .. 3000) { mkdir 'd' or last; chdir 'd' or last }
    open($f, '>', 'bottom');
    chdir $top; mkdir "locked"; mkdir "locked/in"; open($f, '>', "locked/in/file"); chmod 0, "locked/in", "locked";
    mkdir ".wipe-1"; open($f, '>', ".wipe-1/x"); open($f, '>', ".wipe-2");
}
exit 5 unless -e '/tmp/deep/d/d/d';
"""
LOOK = r"""
my @left;
for my $top ('/tmp', '/dev/shm', '/dev/mqueue') {
    opendir(my $d, $top) or next;
    push @left, grep { !/^\.\.?$/ } readdir $d;
}
exit(@left ? 6 : 0);
"""


def test_odd_names_deep_trees_and_links_are_wiped(sandbox: SandboxHost) -> None:
    sandbox.place({"kept.txt": "kept"})
    assert run(sandbox, LITTER)["code"] == 0
    assert run(sandbox, LOOK)["code"] == 0
    assert (sandbox.folder / "app" / "kept.txt").read_text() == "kept"


def test_processes_that_hide_from_their_parent_are_gone(sandbox: SandboxHost) -> None:
    script = r"""
use IO::Socket::UNIX;
if (fork() == 0) {
    syscall(112) if $^O eq 'linux';
    if (fork() == 0) { $SIG{$_} = 'IGNORE' for qw(TERM HUP INT); 1 while sleep 1000 }
    exit;
}
wait;
"""
    assert run(sandbox, script)["code"] == 0
    count = r"opendir(my $d, '/proc'); my @p = grep { /^\d+$/ } readdir $d; exit scalar @p;"
    assert run(sandbox, count)["code"] == 2, "PID 1 and the one that counts"


def test_nobody_inside_can_end_or_read_the_supervisor(sandbox: SandboxHost) -> None:
    script = r"""
kill 9, 1; kill 15, 1; kill 19, 1;
open(my $m, '<', '/proc/1/mem') and exit 1;
open(my $e, '<', '/proc/1/environ') and exit 2;
opendir(my $d, '/proc/1/fd') and exit 3;
exit 0;
"""
    ended = run(sandbox, script)
    assert ended["code"] == 0


def test_kill_without_an_agent_does_nothing(sandbox: SandboxHost) -> None:
    sandbox.supervisor.send(messages.kill())
    assert run(sandbox, "exit 3")["code"] == 3


@pytest.mark.parametrize("line", ["not json", '{"op":"nonsense"}', '{"op":"boot","argv":[]}', '["op"]', '{"op":"boot"'])
def test_a_breach_ends_the_sandbox(sandbox: SandboxHost, engine: DockerEngine, line: str) -> None:
    sandbox.supervisor.send_line(line.encode() + b"\n")
    assert sandbox.supervisor.receive() is None
    until(lambda: not _running(engine, sandbox), "the sandbox to end")


def test_the_sandbox_ends_with_its_host_whatever_the_agent_does(sandbox: SandboxHost, engine: DockerEngine) -> None:
    sandbox.supervisor.send(messages.boot([PERL, "-e", "$SIG{$_} = 'IGNORE' for keys %SIG; 1 while 1"], {}))
    sandbox.supervisor.expect("started")
    sandbox.supervisor.close()
    until(lambda: not _running(engine, sandbox), "the sandbox to end")


def _running(engine: DockerEngine, sandbox: SandboxHost) -> bool:
    info = engine.inspect(sandbox.sandbox)
    return info is not None and info.running


def test_who_prints_faster_than_the_host_reads_waits_and_can_be_ended(sandbox: SandboxHost) -> None:
    sandbox.logs.pause()
    script = "print STDERR 'before'; for (1 .. 40) { syswrite(STDOUT, 'x' x 65536) } exit 5"
    sandbox.supervisor.send(messages.boot([PERL, "-e", script], {}))
    sandbox.supervisor.expect("started")
    sandbox.supervisor.send(messages.kill())
    assert sandbox.supervisor.expect("exited")["signal"] == 9


def test_the_output_can_be_opened(sandbox: SandboxHost) -> None:
    """By its names, in any way, by the program and by what it starts: as a connection cannot."""
    script = r"""
        for my $name ('/dev/stdout', '/dev/stderr', '/proc/self/fd/1') {
            for my $how ('>', '>>', '+<') {
                open(my $file, $how, $name) or die "$name: $!";
                print $file "$name by $how\n";
            }
            system("echo $name by a child > $name") == 0 or die "$name by a child: $?";
        }
    """
    assert run(sandbox, script)["code"] == 0, sandbox.logs.lines
    for name in ("/dev/stdout", "/dev/stderr", "/proc/self/fd/1"):
        for how in (">", ">>", "+<", "a child"):
            sandbox.logs.wait_for(f"{name} by {how}")
