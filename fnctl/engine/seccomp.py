"""The sandbox's system call filter, in the form Docker takes: an allow list by purpose. Pure; nothing is loaded here.

What is not named is refused with EPERM. What is left out, and why:

- ptrace, process_vm_*, kcmp, pidfd_getfd: looking into another process of the sandbox, such as the agent.
- unshare, setns, clone with CLONE_NEW*, mount and its family: user namespaces open most kernel bugs to everybody.
- keyctl and its family, SysV IPC, POSIX message queues: what they hold outlives the process, hence the invocation, and
  keyrings are shared by all containers of a uid.
- bpf, perf_event_open, userfaultfd, io_uring_*: kernel attack surface that functions do not need.
- sockets other than UNIX, TCP or UDP over IP, and NETLINK_ROUTE: VSOCK reaches a hypervisor; ALG, PACKET, TIPC and
  others load kernel modules; the other protocols of NETLINK (netfilter, xfrm, audit, generic) are ways into most of the
  kernel. They answer "address family not supported", as a kernel without them would. NETLINK_ROUTE is how a program
  learns its interfaces and addresses (getifaddrs: Node's `os.networkInterfaces()`, psutil, Go's `net.Interfaces`). It
  shows the sandbox's own network namespace alone, and changes nothing without a capability.
- limits, priority, scheduling and processors of another process: each of these calls takes a process by its number, and
  only 0, the caller itself, is allowed. Everything in a sandbox runs as one user, so that code could otherwise starve
  the agent or the supervisor, or leave them lowered for the next invocation. Limits of others can still be read. A
  filter does not know the caller's number: who names itself by that, and not by 0, is refused, too.
- clone3 answers "not implemented" too: a filter cannot see its flags, and C libraries then fall back to clone.
"""

from __future__ import annotations

import functools
from typing import Any

ENOSYS, EAFNOSUPPORT = 38, 97
AF_UNIX, AF_INET, AF_INET6, AF_NETLINK = 1, 2, 10, 16
NETLINK_ROUTE = 0
SOCK_STREAM, SOCK_DGRAM, SOCK_TYPE_MASK = 1, 2, 0xF
IPPROTO_DEFAULT, IPPROTO_TCP, IPPROTO_UDP = 0, 6, 17
PRIO_PROCESS, IOPRIO_WHO_PROCESS = 0, 1
INT = 0xFFFFFFFF
# NEWNS, NEWCGROUP, NEWUTS, NEWIPC, NEWUSER, NEWPID, NEWNET (clone(2)); NEWTIME is not reachable through clone.
CLONE_NEW = 0x00020000 | 0x02000000 | 0x04000000 | 0x08000000 | 0x10000000 | 0x20000000 | 0x40000000
# Linux, PER_LINUX32, UNAME26 with each, and "only ask".
PERSONALITIES = (0x0, 0x8, 0x20000, 0x20008, 0xFFFFFFFF)

FILES = """
access chdir chmod chown close close_range copy_file_range creat dup dup2 dup3 faccessat faccessat2 fadvise64 fallocate
fchdir fchmod fchmodat fchmodat2 fchown fchownat fcntl fdatasync fgetxattr flistxattr flock fremovexattr fsetxattr fstat
fstatfs fsync ftruncate futimesat getcwd getdents getdents64 getxattr getxattrat inotify_add_watch inotify_init
inotify_init1 inotify_rm_watch ioctl lchown lgetxattr link linkat listxattr listxattrat llistxattr lremovexattr lseek
lsetxattr lstat mkdir mkdirat mknod mknodat newfstatat open openat openat2 pipe pipe2 pread64 preadv preadv2 pwrite64
pwritev pwritev2 read readahead readlink readlinkat readv removexattr removexattrat rename renameat renameat2 rmdir
sendfile setxattr setxattrat splice stat statfs statx symlink symlinkat sync sync_file_range syncfs tee truncate umask
unlink unlinkat utime utimensat utimes write writev cachestat
"""
MEMORY = """
brk madvise map_shadow_stack membarrier memfd_create mincore mlock mlock2 mlockall mmap mprotect mremap mseal msync
munlock munlockall munmap pkey_alloc pkey_free pkey_mprotect remap_file_pages
"""
PROCESSES = """
arch_prctl capget capset execve execveat exit exit_group fork getcpu getegid geteuid getgid getgroups getpgid getpgrp
getpid getppid getpriority getresgid getresuid getrlimit getrusage getsid gettid getuid ioprio_get
pidfd_open pidfd_send_signal prctl sched_get_priority_max sched_get_priority_min sched_getaffinity sched_getattr
sched_getparam sched_getscheduler sched_rr_get_interval sched_yield set_tid_address setfsgid setfsuid setgid setgroups
setpgid setregid setresgid setresuid setreuid setrlimit setsid setuid sysinfo times uname vfork wait4 waitid
landlock_add_rule landlock_create_ruleset landlock_restrict_self
"""
SIGNALS = """
alarm getitimer kill pause restart_syscall rt_sigaction rt_sigpending rt_sigprocmask rt_sigqueueinfo rt_sigreturn
rt_sigsuspend rt_sigtimedwait rt_tgsigqueueinfo setitimer sigaltstack signalfd signalfd4 tgkill tkill
"""
TIME = """
clock_getres clock_gettime clock_nanosleep gettimeofday nanosleep time timer_create timer_delete timer_getoverrun
timer_gettime timer_settime timerfd_create timerfd_gettime timerfd_settime
"""
WAITING = """
epoll_create epoll_create1 epoll_ctl epoll_pwait epoll_pwait2 epoll_wait eventfd eventfd2 futex futex_requeue
futex_wait futex_waitv futex_wake get_robust_list getrandom io_cancel io_destroy io_getevents io_pgetevents io_setup
io_submit poll ppoll pselect6 rseq select set_robust_list
"""
SOCKETS = """
accept accept4 bind connect getpeername getsockname getsockopt listen recvfrom recvmmsg recvmsg sendmmsg sendmsg
sendto setsockopt shutdown
"""


@functools.cache
def seccomp_profile() -> dict[str, Any]:
    """The filter. Only the machine's own 64-bit calls: the 32-bit entry points and x32 kill the process."""
    return {
        "defaultAction": "SCMP_ACT_ERRNO",
        "archMap": [
            {"architecture": "SCMP_ARCH_X86_64", "subArchitectures": []},
            {"architecture": "SCMP_ARCH_AARCH64", "subArchitectures": []},
        ],
        "syscalls": [_allow(_names()), *_sockets(), *_clone(), *_personality(), *_own()],
    }


def _names() -> list[str]:
    return sorted(
        {name for group in (FILES, MEMORY, PROCESSES, SIGNALS, TIME, WAITING, SOCKETS) for name in group.split()}
    )


def _allow(names: list[str], *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"names": names, "action": "SCMP_ACT_ALLOW", "args": list(conditions)}


def _refuse(errno: int, name: str, *conditions: dict[str, Any]) -> dict[str, Any]:
    return {"names": [name], "action": "SCMP_ACT_ERRNO", "errnoRet": errno, "args": list(conditions)}


def _equal(index: int, value: int) -> dict[str, Any]:
    return _compared(index, "SCMP_CMP_EQ", value)


def _compared(index: int, how: str, value: int) -> dict[str, Any]:
    return {"index": index, "value": value, "op": how}


def _masked(index: int, mask: int, value: int) -> dict[str, Any]:
    return {"index": index, "value": mask, "valueTwo": value, "op": "SCMP_CMP_MASKED_EQ"}


def _sockets() -> list[dict[str, Any]]:
    """TCP and UDP by name or by default. The kind counts: a SEQPACKET socket of protocol 0 is SCTP.

    A rule compares an argument once, so that the families between IPv6's and NETLINK's are named one by one.
    """
    kinds = (
        (SOCK_STREAM, IPPROTO_DEFAULT),
        (SOCK_STREAM, IPPROTO_TCP),
        (SOCK_DGRAM, IPPROTO_DEFAULT),
        (SOCK_DGRAM, IPPROTO_UDP),
    )
    return [
        _allow(["socket", "socketpair"], _equal(0, AF_UNIX)),
        *(
            _allow(["socket"], _equal(0, family), _masked(1, SOCK_TYPE_MASK, kind), _equal(2, protocol))
            for family in (AF_INET, AF_INET6)
            for kind, protocol in kinds
        ),
        _allow(["socket"], _equal(0, AF_NETLINK), _equal(2, NETLINK_ROUTE)),
        _refuse(EAFNOSUPPORT, "socket", _equal(0, AF_NETLINK), _compared(2, "SCMP_CMP_NE", NETLINK_ROUTE)),
        *(_refuse(EAFNOSUPPORT, "socket", _equal(0, family)) for family in range(AF_INET6 + 1, AF_NETLINK)),
        _refuse(EAFNOSUPPORT, "socket", _compared(0, "SCMP_CMP_GT", AF_NETLINK)),
    ]


def _clone() -> list[dict[str, Any]]:
    return [_allow(["clone"], _masked(0, CLONE_NEW, 0)), _refuse(ENOSYS, "clone3")]


def _own() -> list[dict[str, Any]]:
    """What may be changed of the caller alone. Numbers are compared as the kernel reads them, in 32 bits."""
    itself = _masked(0, INT, 0)
    return [
        _allow(["sched_setaffinity", "sched_setattr", "sched_setparam", "sched_setscheduler", "prlimit64"], itself),
        _allow(["prlimit64"], _equal(2, 0)),  # no new limit: it only asks
        _allow(["setpriority"], _masked(0, INT, PRIO_PROCESS), _masked(1, INT, 0)),
        _allow(["ioprio_set"], _masked(0, INT, IOPRIO_WHO_PROCESS), _masked(1, INT, 0)),
    ]


def _personality() -> list[dict[str, Any]]:
    return [_allow(["personality"], _equal(0, value)) for value in PERSONALITIES]
