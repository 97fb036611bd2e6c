"""The sandbox profile and its system call filter, as values."""

from __future__ import annotations

import json
from dataclasses import replace

import pytest

from fnctl.engine.profile import Traits, create_body, host_config, mount, tmpfs
from fnctl.engine.seccomp import seccomp_profile
from fnctl.model import SandboxSpec

SPEC = SandboxSpec(
    name="box",
    image="base",
    command=("/bin/agent", "-x"),
    labels=(("a", "1"),),
    uid=7,
    mounts=(("/slot", "/fn", True),),
)


def test_what_the_image_says_is_overridden() -> None:
    body = create_body(SPEC, Traits())

    assert (body["Entrypoint"], body["Cmd"]) == (["/bin/agent"], ["-x"])
    assert (body["User"], body["WorkingDir"], body["Env"]) == ("7:7", "/", [])
    assert body["Healthcheck"] == {"Test": ["NONE"]}


def test_without_a_command_the_images_own_is_kept() -> None:
    assert not create_body(replace(SPEC, command=()), Traits()).keys() & {"Entrypoint", "Cmd"}


def test_without_any_network_the_engine_has_no_part_in_its_namespace() -> None:
    body = create_body(replace(SPEC, network=None), Traits())

    assert body["NetworkDisabled"] is True
    assert body["HostConfig"]["NetworkMode"] == "none"
    assert create_body(SPEC, Traits())["NetworkDisabled"] is False


def test_memory_is_memory_and_swap() -> None:
    host = host_config(replace(SPEC, memory_mb=100), Traits("1"))

    assert host["Memory"] == host["MemorySwap"] == 100 * 1024 * 1024
    assert host["MemorySwappiness"] == 0
    assert "MemorySwappiness" not in host_config(SPEC, Traits("2"))


def test_cpu_is_unbounded_unless_said() -> None:
    assert "NanoCpus" not in host_config(SPEC, Traits())
    assert host_config(replace(SPEC, cpus=0.5), Traits())["NanoCpus"] == 500_000_000


def test_an_images_volumes_become_tmpfs_unless_mounted() -> None:
    mounted = replace(SPEC, mounts=(("data", "/data", False),))

    assert tmpfs(mounted, ("/data", "/other")).keys() == {"/tmp", "/dev/shm", "/other"}


@pytest.mark.parametrize(("source", "kind"), [("/slot", "bind"), ("data", "volume")])
def test_a_source_with_a_slash_is_a_folder_of_the_host(source: str, kind: str) -> None:
    entry = mount(source, "/in", True)

    assert (entry["Type"], entry["ReadOnly"]) == (kind, True)


def test_the_filter_is_in_the_body_as_json() -> None:
    options = host_config(SPEC, Traits())["SecurityOpt"]

    assert options[0] == "no-new-privileges:true"
    assert json.loads(options[1].removeprefix("seccomp=")) == seccomp_profile()


FORBIDDEN = """
ptrace process_vm_readv process_vm_writev kcmp pidfd_getfd unshare setns mount umount2 pivot_root chroot keyctl add_key
request_key bpf perf_event_open userfaultfd io_uring_setup io_uring_enter io_uring_register shmget shmat shmctl semget
semop semctl msgget msgsnd mq_open mq_unlink init_module finit_module kexec_load open_by_handle_at fanotify_init
modify_ldt vmsplice seccomp
"""


def test_nothing_forbidden_is_allowed_on_any_condition() -> None:
    allowed = {
        name for rule in seccomp_profile()["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" for name in rule["names"]
    }

    assert allowed & set(FORBIDDEN.split()) == set()
    assert {"read", "clone", "socket", "execve", "futex", "newfstatat"} <= allowed


def test_sockets_and_clone_are_never_allowed_without_a_condition() -> None:
    rules = [rule for rule in seccomp_profile()["syscalls"] if rule["action"] == "SCMP_ACT_ALLOW" and not rule["args"]]

    free = {name for rule in rules for name in rule["names"]}

    assert not {"socket", "socketpair", "clone", "clone3", "personality"} & free
    assert not {"prlimit64", "setpriority", "ioprio_set"} & free
    assert not {name for name in free if name.startswith("sched_set")}
