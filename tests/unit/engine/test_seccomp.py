"""Our system call filter beside moby's default one: never wider, and narrower for the reasons that stand here."""

from __future__ import annotations

import pytest

from fnctl.engine import seccomp
from fnctl.engine.seccomp import seccomp_profile
from tests.unit.engine import moby

# What moby's default allows and ours refuses.
STRICTER = {
    "of 32-bit and of other machines: ours have their own 64-bit calls alone": """
        _llseek _newselect arm_fadvise64_64 arm_sync_file_range breakpoint cacheflush chown32 clock_adjtime64
        clock_getres_time64 clock_gettime64 clock_nanosleep_time64 fadvise64_64 fchown32 fcntl64 fstat64 fstatat64
        fstatfs64 ftruncate64 futex_time64 getegid32 geteuid32 getgid32 getgroups32 getresgid32 getresuid32 getuid32
        io_pgetevents_time64 ipc lchown32 lstat64 mmap2 mq_timedreceive_time64 mq_timedsend_time64 ppoll_time64
        pselect6_time64 recv recvmmsg_time64 riscv_hwprobe rt_sigtimedwait_time64 sched_rr_get_interval_time64
        semtimedop_time64 send sendfile64 set_tls setfsgid32 setfsuid32 setgid32 setgroups32 setregid32 setresgid32
        setresuid32 setreuid32 setuid32 sigprocmask sigreturn socketcall stat64 statfs64 sync_file_range2
        timer_gettime64 timer_settime64 timerfd_gettime64 timerfd_settime64 truncate64 ugetrlimit utimensat_time64
        waitpid""",
    "obsolete, or of 16-bit programs": "epoll_ctl_old epoll_wait_old get_thread_area set_thread_area modify_ldt",
    "what they make outlives the process, hence the invocation": """
        msgctl msgget msgrcv msgsnd semctl semget semop semtimedop shmat shmctl shmdt shmget
        mq_getsetattr mq_notify mq_open mq_timedreceive mq_timedsend mq_unlink""",
    "they look into another process of the sandbox, or act on it": """
        process_mrelease process_vm_readv process_vm_writev ptrace""",
    "they set the machine's clock": "adjtimex clock_adjtime",
    "they show mounts, and files by handles that lead around them": "listmount name_to_handle_at statmount",
    "kernel attack surface that functions do not need": "fanotify_mark memfd_secret uretprobe vmsplice",
    "a filter of a program's own is set by prctl": "seccomp",
}


def ours() -> set[str]:
    rules = seccomp_profile()["syscalls"]
    return {name for rule in rules if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]}


def test_nothing_is_allowed_that_mobys_default_refuses() -> None:
    assert ours() - moby.recorded() == set()


def test_what_is_refused_beyond_mobys_default_has_its_reason_here() -> None:
    reasons = [name for names in STRICTER.values() for name in names.split()]
    assert len(reasons) == len(set(reasons))
    assert moby.recorded() - ours() == set(reasons)


def test_flags_of_clone_and_personalities_are_mobys() -> None:
    """2114060288 and these five stand in moby's default profile."""
    assert seccomp.CLONE_NEW == 2114060288
    assert seccomp.PERSONALITIES == (0, 8, 131072, 131080, 4294967295)


@pytest.mark.parametrize(
    ("rule", "counts"),
    [
        ({}, True),
        ({"args": [{"index": 0}]}, True),
        ({"action": "SCMP_ACT_ERRNO"}, False),
        ({"includes": {"caps": ["CAP_BPF"]}}, False),
        ({"excludes": {"caps": ["CAP_SYS_ADMIN"]}}, True),
        ({"includes": {"arches": ["s390"]}}, False),
        ({"includes": {"arches": ["arm", "arm64"]}}, True),
        ({"includes": {"minKernel": "4.8"}}, True),
        ({"excludes": {"arches": ["amd64"]}}, False),
    ],
)
def test_a_profile_is_read_for_a_container_without_capabilities(rule: dict[str, object], counts: bool) -> None:
    profile = {"syscalls": [{"names": ["call"], "action": "SCMP_ACT_ALLOW", **rule}]}
    assert moby.allowed(profile) == ({"call"} if counts else set())
