"""What of this machine's package-manager settings reaches an install step, and that credentials do so hidden."""

import configparser
import os
import shlex
from pathlib import Path

import pytest

from fnctl.builder import host_settings as host
from fnctl.builder.host_settings import HostSettings


def write(path: Path, text: str) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def file(settings: HostSettings, name: str) -> str:
    return dict(settings.files)[name].decode()


def variables(settings: HostSettings) -> dict[str, str]:
    lines = [shlex.split(line)[1] for line in file(settings, "environment").splitlines()]
    return dict(line.split("=", 1) for line in lines)


def pip(settings: HostSettings) -> dict[str, list[str]]:
    parser = configparser.RawConfigParser()
    parser.read_string(file(settings, "pip.conf"))
    return {key: value.split() for key, value in parser.items("global")}


def test_certificates_of_all_sources_become_one_file(tmp_path: Path) -> None:
    one, two = write(tmp_path / "one.pem", "ONE"), write(tmp_path / "two.pem", "TWO")
    write(tmp_path / ".npmrc", f"cafile={two}\n")
    settings = host.read({"SSL_CERT_FILE": str(one), "PIP_CERT": str(one)}, tmp_path, tmp_path)
    certificates = file(settings, "ca.pem")
    assert certificates.count("ONE") == certificates.count("TWO") == 1
    places = {variables(settings)[name] for name in ("SSL_CERT_FILE", "PIP_CERT", "npm_config_cafile")}
    assert places == {f"{host.CONFIG}/ca.pem"}


def test_npm_is_told_registries_and_tokens_but_no_path_of_this_machine(tmp_path: Path) -> None:
    write(
        tmp_path / ".npmrc",
        "; mine\nregistry=https://npm.example/\n@acme:registry=https://acme.example/\nprefix=/home/me\ncafile=/x\n"
        "//acme.example/:_authToken=${ACME_TOKEN}\n//acme.example/:certfile=/home/me/x.pem\nscript-shell=/bin/zsh\n",
    )
    settings = host.read({"ACME_TOKEN": "s3cret-token", "npm_config_strict_ssl": "false"}, tmp_path, tmp_path)
    assert file(settings, "npmrc").splitlines() == [
        "registry=https://npm.example/",
        "@acme:registry=https://acme.example/",
        "//acme.example/:_authToken=${ACME_TOKEN}",
        "strict-ssl=false",
    ]
    assert variables(settings)["ACME_TOKEN"] == "s3cret-token"
    assert settings.redact("token s3cret-token refused") == "token *** refused"
    assert "s3cret" not in repr(settings.secrets and HostSettings((), secrets=settings.secrets))


def test_pip_settings_merge_as_pip_does_and_local_folders_are_mounted(tmp_path: Path) -> None:
    wheels, index = tmp_path / "wheels", tmp_path / "index" / "simple"
    wheels.mkdir()
    index.mkdir(parents=True)
    write(
        tmp_path / ".config/pip/pip.conf",
        f"[global]\nfind-links = {wheels} /not/there\nindex-url = https://old.example/simple\ncache-dir = /x\n"
        f"[install]\nextra-index-url = file://{index}\n    https://more.example/simple\n",
    )
    settings = host.read({"PIP_INDEX_URL": "https://me:hunter2@pypi.example/simple"}, tmp_path, tmp_path)
    assert pip(settings) == {
        "find-links": ["/fn/links/0"],
        "index-url": ["https://me:hunter2@pypi.example/simple"],
        "extra-index-url": ["file:///fn/links/1/simple", "https://more.example/simple"],
    }
    assert settings.folders == ((str(wheels), "/fn/links/0"), (str(index.parent), "/fn/links/1"))
    assert settings.redact("hunter2") == "***"


def test_the_root_of_the_file_system_is_never_mounted(tmp_path: Path) -> None:
    settings = host.read({"PIP_FIND_LINKS": "/ relative file:///"}, tmp_path, tmp_path)
    assert settings.folders == ()


@pytest.mark.parametrize(
    ("proxy", "loopback"),
    [("http://proxy.example:3128", False), ("http://127.0.0.1:3128", True), ("http://u:pw1234@localhost:1", True)],
)
def test_proxies_pass_in_both_spellings_and_a_local_one_is_told(tmp_path: Path, proxy: str, loopback: bool) -> None:
    settings = host.read({"https_proxy": proxy, "NO_PROXY": "a,b"}, tmp_path, tmp_path)
    assert variables(settings)["HTTPS_PROXY"] == variables(settings)["https_proxy"] == proxy
    assert variables(settings)["no_proxy"] == "a,b"
    assert settings.loopback_proxy is loopback


def test_a_value_with_quotes_is_one_word_to_the_shell(tmp_path: Path) -> None:
    nasty = "http://x/'; touch /tmp/owned; '$(id)"
    assert variables(host.read({"HTTP_PROXY": nasty}, tmp_path, tmp_path))["HTTP_PROXY"] == nasty


def test_nothing_else_of_the_environment_passes(tmp_path: Path) -> None:
    settings = host.read({"AWS_SECRET_ACCESS_KEY": "canary", "PATH": os.environ["PATH"]}, tmp_path, tmp_path)
    assert not any(b"canary" in content for _, content in settings.files)
    assert "PATH" not in variables(settings)
