"""The hardened sandbox from the inside, on a real engine: what a function tries, and what it gets.

The trials are Perl, which every base has: it can make any system call by its number.
"""

from __future__ import annotations

import json
import platform
import secrets
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from fnctl.engine.docker import DockerEngine
from fnctl.engine.port import LABEL, LABEL_ROLE, RunResult
from fnctl.model import SandboxSpec

pytestmark = pytest.mark.engine

IMAGE = "fnctl/base:trixie"
UID = 61002
RUN_S = 60.0
EPERM, EMFILE, ENOSYS, EAFNOSUPPORT = 1, 24, 38, 97

# System call numbers: (x86_64, aarch64).
NUMBERS = {
    "ptrace": (101, 117),
    "process_vm_readv": (310, 270),
    "process_vm_writev": (311, 271),
    "kcmp": (312, 272),
    "pidfd_getfd": (438, 438),
    "keyctl": (250, 219),
    "add_key": (248, 217),
    "request_key": (249, 218),
    "bpf": (321, 280),
    "perf_event_open": (298, 241),
    "userfaultfd": (323, 282),
    "io_uring_setup": (425, 425),
    "io_uring_enter": (426, 426),
    "io_uring_register": (427, 427),
    "unshare": (272, 97),
    "setns": (308, 268),
    "mount": (165, 40),
    "umount2": (166, 39),
    "pivot_root": (155, 41),
    "chroot": (161, 51),
    "fsopen": (430, 430),
    "open_tree": (428, 428),
    "open_by_handle_at": (304, 265),
    "shmget": (29, 194),
    "semget": (64, 190),
    "msgget": (68, 186),
    "mq_open": (240, 180),
    "init_module": (175, 105),
    "finit_module": (313, 273),
    "kexec_load": (246, 104),
    "reboot": (169, 142),
    "sethostname": (170, 161),
    "settimeofday": (164, 170),
    "clock_settime": (227, 112),
    "swapon": (167, 224),
    "syslog": (103, 116),
    "acct": (163, 89),
    "quotactl": (179, 60),
    "fanotify_init": (300, 262),
    "seccomp": (317, 277),
}
# What changes a process that is named by its number: (x86_64, aarch64), and the arguments around that.
OF_A_PROCESS = {
    "prlimit64": (302, 261, "{pid}, 7, $buffer, 0"),
    "setpriority": (141, 140, "0, {pid}, 15"),
    "ioprio_set": (251, 30, "1, {pid}, 0"),
    "sched_setaffinity": (203, 122, "{pid}, 8, $buffer"),
    "sched_setscheduler": (144, 119, "{pid}, 0, $zeros"),
    "sched_setparam": (142, 118, "{pid}, $zeros"),
    "sched_setattr": (314, 274, "{pid}, $attr, 0"),
}
CLONE = (56, 220)
CLONE3 = 435
SIGCHLD = 17
NAMESPACES = {"mnt": 0x20000, "cgroup": 0x2000000, "uts": 0x4000000, "ipc": 0x8000000, "user": 0x10000000}


def _number(pair: tuple[int, int]) -> int:
    return pair[0 if platform.machine() == "x86_64" else 1]


Try = Callable[..., RunResult]


@pytest.fixture(scope="module")
def engine() -> Iterator[DockerEngine]:
    engine = DockerEngine()
    if engine.image(IMAGE) is None:
        pytest.fail(f"the engine has no {IMAGE}: `fnctl setup` makes it")
    yield engine
    engine.close()


@pytest.fixture
def inside(engine: DockerEngine, tmp_path: Path) -> Try:
    """Run Perl in a sandbox as functions get one."""
    tmp_path.chmod(0o755)

    def run(program: str, timeout_s: float = RUN_S, **limits: object) -> RunResult:
        settings: dict[str, object] = {"memory_mb": 128, "network": None, **limits}
        spec = SandboxSpec(
            name=f"fnctl-test-{secrets.token_hex(4)}",
            image=IMAGE,
            command=("/usr/bin/perl", "-e", program),
            labels=((LABEL, "1"), (LABEL_ROLE, "test")),
            uid=UID,
            mounts=((str(tmp_path), "/fn", True),),
            **settings,  # type: ignore[arg-type]
        )
        return engine.run(spec, timeout_s=timeout_s)

    return run


def test_refused_system_calls(inside: Try) -> None:
    numbers = {name: _number(pair) for name, pair in NUMBERS.items()}
    program = "".join(
        f'$! = 0; my $r = syscall({number}, 0, 0, 0, 0, 0); printf("{name} %d %d\\n", $r, $!+0);'
        for name, number in numbers.items()
    )
    answers = {line.split()[0]: line.split()[1:] for line in inside(program).output.splitlines()}

    assert answers.keys() == numbers.keys()
    assert {name for name, answer in answers.items() if answer != ["-1", str(EPERM)]} == set()


def test_limits_and_scheduling_are_changed_of_the_caller_alone(inside: Try) -> None:
    """Asked for by another process's number, a group's, the user's or its own, each is refused; of 0 it is not."""
    pids = ("0", "1", "$$", "$child", "0x100000000+$child")
    calls = [
        (f"{name} {pid}", _number((x86, arm)), arguments.format(pid=pid))
        for name, (x86, arm, arguments) in OF_A_PROCESS.items()
        for pid in pids
    ]
    calls.append(("setpriority user", _number((141, 140)), "2, 0, 15"))
    calls.append(("setpriority group", _number((141, 140)), "1, 0, 15"))
    calls.append(("ioprio_set user", _number((251, 30)), "3, 0, 0"))
    calls.append(("prlimit64 read", _number((302, 261)), "$child, 7, 0, $buffer"))
    program = "my $child = fork() // die; if (!$child) { sleep 60; exit } my $zeros = pack 'q8';"
    program += "my $attr = pack 'LLQlLQQQ', 48, 0, 0, 19, 0, 0, 0, 0;"
    for name, number, arguments in calls:
        program += f"$! = 0; my $buffer = pack 'q16', 1, 1; my $r = syscall({number}, {arguments}); "
        program += f'printf("%s|%d|%d\n", q({name}), $r, $!+0);'
    answers = {row[0]: row[1:] for row in (line.split("|") for line in inside(program).output.splitlines())}

    assert len(answers) == len(calls), answers
    done = {name for name, answer in answers.items() if answer[0] == "0"}
    assert done == {f"{name} 0" for name in OF_A_PROCESS} | {"prlimit64 read"}
    assert {tuple(answer) for name, answer in answers.items() if name not in done} == {("-1", str(EPERM))}


def test_no_new_namespaces_by_clone(inside: Try) -> None:
    number = _number(CLONE)
    calls = [f"syscall({number}, {flag | SIGCHLD}, 0, 0, 0, 0)" for flag in NAMESPACES.values()]
    calls.append(f"syscall({CLONE3}, 0, 0)")
    program = "".join(f'$! = 0; my $r = {call}; exit 9 if $r == 0; printf("%d %d\\n", $r, $!+0);' for call in calls)

    assert inside(program).output.splitlines() == [f"-1 {EPERM}"] * len(NAMESPACES) + [f"-1 {ENOSYS}"]


# (family, type, protocol) → errno; 0 where the socket is had
SOCKETS = {
    "unix stream": (1, 1, 0, 0),
    "unix seqpacket": (1, 5, 0, 0),
    "tcp": (2, 1, 6, 0),
    "tcp cloexec nonblock": (2, 1 | 0o2000000 | 0o4000, 0, 0),
    "udp": (2, 2, 0, 0),
    "tcp6": (10, 1, 0, 0),
    "sctp": (2, 5, 0, EPERM),
    "mptcp": (2, 1, 262, EPERM),
    "icmp": (2, 2, 1, EPERM),
    "raw": (2, 3, 1, EPERM),
    "raw6": (10, 3, 58, EPERM),
    "netlink route": (16, 3, 0, 0),
    **{f"netlink {protocol}": (16, 3, protocol, EAFNOSUPPORT) for protocol in range(1, 32)},
    **{f"family {family}": (family, 3, 0, EAFNOSUPPORT) for family in range(11, 46) if family != 16},
    "packet": (17, 3, 0, EAFNOSUPPORT),
    "alg": (38, 5, 0, EAFNOSUPPORT),
    "vsock": (40, 1, 0, EAFNOSUPPORT),
    "tipc": (30, 5, 0, EAFNOSUPPORT),
    "bluetooth": (31, 3, 0, EAFNOSUPPORT),
    "xdp": (44, 3, 0, EAFNOSUPPORT),
    "x25": (9, 5, 0, EPERM),
}


def test_sockets_are_unix_tcp_udp_and_the_list_of_interfaces(inside: Try) -> None:
    program = "".join(
        f'$! = 0; print socket(my $s, {family}, {kind}, {protocol}) ? 0 : $!+0, "\\n";'
        for family, kind, protocol, _ in SOCKETS.values()
    )
    answers = dict(zip(SOCKETS, inside(program).output.split(), strict=True))

    assert answers == {name: str(errno) for name, (*_, errno) in SOCKETS.items()}


# RTM_SETLINK of lo to "down", and of the answer (an NLMSG_ERROR) the error's number
SET_LINK = """
socket(my $s, 16, 3, 0) or die "socket: $!";
my $link = pack 'C x S i L L', 0, 0, 1, 0, 1;
send($s, pack('L S S L L', 16 + length $link, 19, 5, 1, 0) . $link, 0) or die "send: $!";
recv($s, my $answer, 8192, 0); print -unpack 'x16 l', $answer;
"""


def test_interfaces_cannot_be_changed(inside: Try) -> None:
    assert inside(SET_LINK).output.strip() == str(EPERM)


STATUS = """
open(my $f, '<', '/proc/self/status'); my %s = map { /^(\\w+):\\s*(.*)/ ? ($1, $2) : () } <$f>;
print "$s{CapPrm} $s{CapEff} $s{CapBnd} $s{CapAmb} $s{NoNewPrivs} $s{Seccomp} $s{Uid}\\n";
"""


def test_no_capabilities_no_new_privileges_own_uid(inside: Try) -> None:
    none = "0" * 16
    uids = [str(UID)] * 4

    assert inside(STATUS).output.split() == [none, none, none, none, "1", "2", *uids]


WRITES = """
for my $p ('/x', '/etc/passwd', '/usr/bin/perl', '/var/x', '/run/x', '/dev/x', '/fn/x', '/proc/sys/kernel/core_pattern',
           '/dev/mqueue/x', '/sys/fs/cgroup/x', '/home/x') {
    print "WRITTEN $p\\n" if open(my $f, '>', $p);
}
for my $p ('/tmp/x', '/dev/shm/x') { open(my $f, '>', $p) or print "refused $p: $!\\n" }
"""


def test_only_tmp_and_shared_memory_can_be_written(inside: Try) -> None:
    assert inside(WRITES).output == ""


def test_what_lies_in_tmp_can_run_and_cannot_gain_rights(inside: Try) -> None:
    program = """
    system('cp /usr/bin/id /tmp/id; chmod 6755 /tmp/id; /tmp/id -u; chown 0 /tmp/id 2>/dev/null && echo chowned');
    """

    assert inside(program).output.strip() == str(UID)


FILL = """
sub fill { my ($file) = @_; open(my $f, '>', $file) or return "open $!"; binmode $f;
    for (1..4096) { defined syswrite($f, 'x' x 65536) or return "$!" } 'never' }
sub files { my ($dir) = @_; for (1..100000) { open(my $f, '>', "$dir/$_") or return "$!" } 'never' }
print join('|', fill('/tmp/big'), fill('/dev/shm/big'), do { unlink '/tmp/big', '/dev/shm/big'; files('/tmp') },
    files('/dev/shm')), "\\n";
"""


def test_bytes_and_inodes_of_tmp_and_shared_memory_are_bounded(inside: Try) -> None:
    full = "No space left on device"
    result = inside(FILL, tmp_mb=16)

    assert (result.output.strip().split("|"), result.exit_code) == ([full] * 4, 0)


FORK_BOMB = "my $n = 0; while (1) { my $p = fork; last unless defined $p; if (!$p) { sleep 100; exit } $n++ } print $n"


def test_a_fork_bomb_stops_at_the_limit_and_dies_with_the_sandbox(inside: Try) -> None:
    assert int(inside(FORK_BOMB, pids=20).output) == 19


def test_a_bomb_that_goes_on_is_still_killed(inside: Try) -> None:
    result = inside("while (1) { fork }", pids=30, timeout_s=2.0, cpus=0.2)

    assert result.timed_out
    assert result.exit_code == 137


def test_descriptors_run_out_inside_only(inside: Try) -> None:
    program = "my @f; while (1) { open(my $f, '<', '/dev/null') or last; push @f, $f } print $!+0, ' ', scalar @f"
    errno, count = inside(program, nofile=64).output.split()

    assert (int(errno), int(count)) == (EMFILE, 61)


def test_memory_past_the_limit_is_a_kill(engine: DockerEngine, inside: Try) -> None:
    result = inside("my @a; push @a, 'x' x 1048576 while 1", memory_mb=32)

    assert (result.exit_code, result.timed_out) == (137, False)


def test_no_network_but_its_own_loopback(inside: Try) -> None:
    program = """
    use Socket; opendir(my $d, '/sys/class/net'); print join(',', sort grep { !/^\\./ } readdir $d), "\\n";
    for my $to (['169.254.169.254', 80], ['172.17.0.1', 80], ['1.1.1.1', 53]) {
        socket(my $s, AF_INET, SOCK_STREAM, 0);
        print connect($s, pack_sockaddr_in($to->[1], inet_aton($to->[0]))) ? "REACHED @$to\\n" : "$!\\n";
    }
    socket(my $l, AF_INET, SOCK_STREAM, 0);
    bind($l, pack_sockaddr_in(80, INADDR_LOOPBACK)) && listen($l, 1) or print "no loopback: $!\\n";
    """
    interfaces, *tries = inside(program).output.splitlines()

    assert "eth0" not in interfaces
    assert tries == ["Network is unreachable"] * 3


def test_the_engine_and_the_host_are_not_there(inside: Try) -> None:
    paths = "/var/run/docker.sock /run/docker.sock /dev/kvm /dev/mem /dev/vsock /dev/fuse /dev/net/tun"

    assert inside(f"print join(',', grep {{ -e }} qw({paths}))").output == ""


def test_the_environment_holds_nothing_of_the_host(inside: Try, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    names = inside("print join(',', sort keys %ENV)", environment=(("GIVEN", "1"),)).output.strip().split(",")

    assert set(names) <= {"GIVEN", "HOME", "HOSTNAME", "PATH", "LANG", "LC_ALL"}


def test_core_dumps_and_queues_are_off(inside: Try) -> None:
    program = "open(my $f, '<', '/proc/self/limits'); print grep { /core file|msgqueue/ } <$f>"
    rows = [line.split() for line in inside(program).output.splitlines()]

    assert [row[-3:-1] for row in rows] == [["0", "0"], ["0", "0"]]


def test_what_an_odd_image_says_is_overridden(engine: DockerEngine, tmp_path: Path) -> None:
    """USER 0, an entry point, a folder, a VOLUME, a health check."""
    tag = f"fnctl/test-{secrets.token_hex(4)}:odd"
    (tmp_path / "Dockerfile").write_text(
        f"FROM {IMAGE}\nUSER 0\nWORKDIR /root\nVOLUME /data /var/lib/odd\n"
        f'ENTRYPOINT {json.dumps(["/bin/echo", "entry"])}\nCMD ["command"]\nHEALTHCHECK CMD /bin/false\n'
    )
    engine.build(tmp_path, tag=tag, labels={LABEL: "1", LABEL_ROLE: "test"})
    program = """
    use Cwd; open(my $m, '<', '/proc/mounts');
    print join(' ', $<, getcwd(), map { (split)[2] } grep { m{ (/data|/var/lib/odd) } } <$m>);
    """
    spec = SandboxSpec(
        name=f"fnctl-test-{secrets.token_hex(4)}",
        image=tag,
        command=("/usr/bin/perl", "-e", program),
        labels=((LABEL, "1"), (LABEL_ROLE, "test")),
        uid=UID,
        mounts=(),
    )
    try:
        assert engine.run(spec, timeout_s=RUN_S).output.split() == [str(UID), "/", "tmpfs", "tmpfs"]
    finally:
        engine.remove_image(tag)
