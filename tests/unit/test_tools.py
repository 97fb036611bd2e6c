"""What `make` calls of `tools/`, with stand-ins for apt and dpkg: where it puts things."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

ROOT = Path(__file__).parents[2]
# As on Debian: apt leaves a package where it is called, and dpkg unpacks it into the folder named last.
APT = "#!/bin/sh\n: > nginx_1_amd64.deb\n"
DPKG = '#!/bin/sh\nmkdir -p "$3/usr/sbin"\nprintf "#!/bin/sh\\n" > "$3/usr/sbin/nginx"\nchmod 755 "$3/usr/sbin/nginx"\n'
COMMANDS = ("bash", "chmod", "env", "mkdir", "mktemp", "mv", "rm", "sh")


def test_bench_tools_are_fetched_into_a_folder_that_is_given_from_the_checkout(tmp_path: Path) -> None:
    machine, checkout = tmp_path / "machine", tmp_path / "checkout"
    machine.mkdir()
    checkout.mkdir()
    for command in COMMANDS:
        (machine / command).symlink_to(shutil.which(command) or "")
    for name, script in (("apt-get", APT), ("dpkg", DPKG)):
        (machine / name).write_text(script)
        (machine / name).chmod(0o755)
    environment = {"PATH": str(machine), "TMPDIR": os.environ.get("TMPDIR", "/tmp")}
    argv = [str(ROOT / "tools/bench-tools"), ".make/bin"]
    done = subprocess.run(argv, cwd=checkout, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert (checkout / ".make/bin/nginx").is_file() or os.access("/usr/sbin/nginx", os.X_OK)
