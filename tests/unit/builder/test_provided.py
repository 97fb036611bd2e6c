"""Packages of a platform's own runtime: found by what code imports, where no file asks for them."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from fnctl import catalog
from fnctl.builder import inputs, install_plan
from fnctl.model import Contract, Function
from tests.unit.config.detect.folders import write

SPECS = catalog.runtimes()


def found(folder: Path, runtime: str, files: dict[str, str], contract: Contract = Contract.LAMBDA) -> tuple[str, ...]:
    function = Function("f", write(folder, files), runtime, "index.handler", contract=contract)
    given = inputs.read(function, SPECS[runtime]).provided
    return given.packages if given else ()


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ("const { S3 } = require('@aws-sdk/client-s3')", "client-s3"),
        ('import { S3Client } from "@aws-sdk/client-s3";', "client-s3"),
        ("import '@aws-sdk/lib-dynamodb'", "lib-dynamodb"),
        ("const m = await import('@aws-sdk/client-sts')", "client-sts"),
        ("import {\n  A,\n} from '@aws-sdk/client-sqs/dist-cjs/x'", "client-sqs"),
    ],
)
def test_imports_of_the_sdk(tmp_path: Path, line: str, name: str) -> None:
    (package,) = found(tmp_path, "node24", {"lib/x.mjs": line})
    assert package.startswith(f"@aws-sdk/{name}@<=3.")


def test_boto3_is_pinned(tmp_path: Path) -> None:
    (package,) = found(tmp_path / "a", "python3.13", {"m.py": "import os\nimport boto3, json\n"})
    assert package.startswith("boto3==1.")
    assert found(tmp_path / "b", "python3.13", {"m.py": "def f():\n    from botocore.exceptions import X\n"}) == (
        package,
    )


@pytest.mark.parametrize(
    ("runtime", "files"),
    [
        ("python3.13", {"m.py": "import boto3", "requirements.txt": "Boto3>=1.30\n"}),
        ("python3.13", {"m.py": "import boto3", "boto3/__init__.py": ""}),
        ("python3.13", {"m.py": "# import boto3 by hand\nimport boto3x"}),
        (
            "node24",
            {"i.js": "require('@aws-sdk/client-s3')", "package.json": '{"dependencies": {"@aws-sdk/client-s3": "3"}}'},
        ),
    ],
)
def test_what_a_file_asks_for_is_left_to_it(tmp_path: Path, runtime: str, files: dict[str, str]) -> None:
    assert found(tmp_path, runtime, files) == ()


def test_development_dependencies_are_not_there_when_it_runs(tmp_path: Path) -> None:
    files = {
        "i.js": "require('@aws-sdk/client-s3')",
        "package.json": '{"devDependencies": {"@aws-sdk/client-s3": "3"}}',
    }
    assert len(found(tmp_path, "node24", files)) == 1


def test_no_other_platform_has_them(tmp_path: Path) -> None:
    assert found(tmp_path, "python3.13", {"m.py": "import boto3"}, Contract.EVENT) == ()


def test_they_are_installed_after_what_files_ask_for(tmp_path: Path) -> None:
    files = {"m.py": "import boto3", "requirements.txt": "six\n"}
    function = Function("f", write(tmp_path, files), "python3.13", "m.handler", contract=Contract.LAMBDA)
    read = inputs.read(function, SPECS["python3.13"])
    both = install_plan.of(SPECS["python3.13"], read.manifests, read.provided)
    alone = install_plan.of(SPECS["python3.13"], {}, read.provided)
    plain = install_plan.of(SPECS["python3.13"], read.manifests)
    assert both is not None and alone is not None and plain is not None
    script = both.rule.run[-1].splitlines()
    assert script[0].endswith("requirements.txt") and "boto3==" in script[1]
    assert alone.rule.run[-1].startswith("boto3==") and alone.files == ()
    assert len({each.key(["r"], "m", ()) for each in (both, alone, plain)}) == 3
    assert "as on AWS Lambda" in both.words
    unread = replace(read, provided=None)
    assert install_plan.of(SPECS["python3.13"], unread.manifests, unread.provided) == plain
