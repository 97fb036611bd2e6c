"""What this machine's package managers are told, for an install step in a container: certificates, proxies, registries.

Such settings hold credentials. They reach the step as files of a folder that is mounted for that step alone, so that
none stands in a layer, a bundle, a command line or what the engine says of the container.
"""

from __future__ import annotations

import configparser
import json
import re
import shlex
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from urllib.parse import urlsplit

CONFIG = "/fn/config"  # where the files are, inside
LINKS = "/fn/links"  # where local package folders are, inside

_BUNDLES = ("etc/ssl/certs/ca-certificates.crt", "etc/pki/tls/certs/ca-bundle.crt", "etc/ssl/cert.pem")
_GLOBAL_NPMRC = ("usr/etc/npmrc", "usr/local/etc/npmrc")
_CA_VARIABLES = (
    "SSL_CERT_FILE",
    "REQUESTS_CA_BUNDLE",
    "PIP_CERT",
    "CURL_CA_BUNDLE",
    "GIT_SSL_CAINFO",
    "NODE_EXTRA_CA_CERTS",
    "npm_config_cafile",
)
_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "FTP_PROXY")

# Settings about where packages come from and how they are reached. Everything else in a configuration file (prefixes,
# shells, paths of this machine) would be wrong inside.
_PIP_KEYS = {
    "index-url", "extra-index-url", "find-links", "no-index", "trusted-host", "timeout", "retries", "proxy",
    "default-timeout", "only-binary", "no-binary", "prefer-binary", "pre",
}  # fmt: skip
_NPM_KEYS = {
    "registry", "proxy", "https-proxy", "noproxy", "strict-ssl", "always-auth", "maxsockets", "fetch-retries",
    "fetch-timeout", "fetch-retry-mintimeout", "fetch-retry-maxtimeout", "replace-registry-host",
    "omit-lockfile-registry-resolved",
}  # fmt: skip
_PATH_KEYS = ("find-links", "index-url", "extra-index-url")

_NPM_SECRET = re.compile(r"(?:_authToken|_auth|_password)\s*=\s*(\S+)")
_USERINFO = re.compile(r"://[^/\s:@]*:([^/\s@]+)@")
_REFERENCE = re.compile(r"\$\{(\w+)\??\}")


@dataclass(frozen=True, slots=True)
class HostSettings:
    """`files`: name and content, to be put at CONFIG; one of them, `environment`, is for a shell to read.

    `folders`: host folder and place inside, read-only. `secrets` must not be shown to anybody.
    """

    files: tuple[tuple[str, bytes], ...]
    folders: tuple[tuple[str, str], ...] = ()
    secrets: tuple[str, ...] = field(default=(), repr=False)
    loopback_proxy: bool = False  # only the host's own network reaches it

    def redact(self, text: str) -> str:
        for secret in self.secrets:
            text = text.replace(secret, "***")
        return text


def read(environ: Mapping[str, str], home: Path, root: Path = Path("/")) -> HostSettings:
    """The settings of the user whose environment and home this is; the system's files are looked for below `root`.

    Files that cannot be read are as if not there.
    """
    variables = dict(_proxies(environ))
    files: list[tuple[str, bytes]] = []
    npmrc = _npmrc(environ, home, root)
    if certificates := _certificates(environ, npmrc, root):
        files.append(("ca.pem", certificates))
        variables |= dict.fromkeys(_CA_VARIABLES, f"{CONFIG}/ca.pem")
    pip, folders = _with_folders(_pip(environ, home, root))
    files.append(("pip.conf", _ini(pip)))
    files.append(
        ("npmrc", "\n".join(line for line in npmrc if _npm_key(line) in _NPM_KEYS or _is_scoped(line)).encode())
    )
    files.append(("yarnrc.yml", _yarnrc(npmrc, variables)))
    variables |= {"PIP_CONFIG_FILE": f"{CONFIG}/pip.conf", "NPM_CONFIG_USERCONFIG": f"{CONFIG}/npmrc"}
    variables |= _referenced(npmrc, environ)
    files.append(("environment", _shell(variables)))
    secrets = _secrets(npmrc, variables, pip, environ)
    return HostSettings(tuple(files), folders, secrets, _is_loopback(variables))


def _proxies(environ: Mapping[str, str]) -> Iterator[tuple[str, str]]:
    """Both spellings: some tools read only one."""
    for name in _PROXIES:
        value = environ.get(name) or environ.get(name.lower())
        if value:
            yield name, value
            yield name.lower(), value


def _is_loopback(variables: Mapping[str, str]) -> bool:
    hosts = [urlsplit(variables.get(name, "")).hostname for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY")]
    return any(host is not None and (host in ("localhost", "::1") or host.startswith("127.")) for host in hosts)


def _certificates(environ: Mapping[str, str], npmrc: Iterable[str], root: Path) -> bytes:
    """One bundle of all that the machine trusts: the system's, and what variables and npm name beside it."""
    named = [environ[name] for name in _CA_VARIABLES if environ.get(name)]
    named += [line.split("=", 1)[1].strip() for line in npmrc if _npm_key(line) == "cafile"]
    system = next((str(root / path) for path in _BUNDLES if (root / path).is_file()), None)
    contents = [_content(Path(path)) for path in dict.fromkeys([*([system] if system else []), *named])]
    return b"\n".join(dict.fromkeys(content for content in contents if content))


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError:
        return b""


def _npmrc(environ: Mapping[str, str], home: Path, root: Path) -> list[str]:
    """The lines of npm's global and user files, then the `npm_config_*` variables, which win."""
    user = environ.get("NPM_CONFIG_USERCONFIG") or environ.get("npm_config_userconfig") or str(home / ".npmrc")
    globals_ = environ.get("NPM_CONFIG_GLOBALCONFIG") or environ.get("npm_config_globalconfig")
    paths = [*([globals_] if globals_ else [str(root / path) for path in _GLOBAL_NPMRC]), user]
    lines = [line for path in paths for line in _content(Path(path)).decode("utf-8", "replace").splitlines()]
    for name, value in sorted(environ.items()):
        if name.lower().startswith("npm_config_"):
            lines.append(f"{name[len('npm_config_') :].lower().replace('_', '-')}={value}")
    return [line.strip() for line in lines if "=" in line and line.strip()[0] not in "#;"]


def _npm_key(line: str) -> str:
    return line.split("=", 1)[0].strip()


def _is_scoped(line: str) -> bool:
    """`@scope:registry=…`, or a registry's own settings: `//host/:_authToken=…`. Not those that name a host's file."""
    key = _npm_key(line)
    return (key.startswith("@") and key.endswith(":registry")) or (
        key.startswith("//") and not key.endswith((":certfile", ":keyfile"))
    )


def _yarnrc(npmrc: Iterable[str], variables: Mapping[str, str]) -> bytes:
    """The same for Yarn from version 2 on, which reads no .npmrc. JSON is YAML."""
    settings: dict[str, object] = {}
    scopes: dict[str, dict[str, str]] = {}
    registries: dict[str, dict[str, str]] = {}
    for key, _, value in (line.partition("=") for line in npmrc if _npm_key(line) == "registry" or _is_scoped(line)):
        name, value = key.strip(), value.strip().strip('"')
        if name == "registry":
            settings["npmRegistryServer"] = value
        elif name.startswith("@"):
            scopes.setdefault(name[1:].partition(":")[0], {})["npmRegistryServer"] = value
        elif name.endswith((":_authToken", ":_auth")):
            host, _, kind = name.rpartition(":")
            registries.setdefault(host.rstrip("/"), {})["npmAuthToken" if kind == "_authToken" else "npmAuthIdent"] = (
                value
            )
    proxies = {"httpProxy": variables.get("HTTP_PROXY"), "httpsProxy": variables.get("HTTPS_PROXY")}
    settings |= {name: value for name, value in proxies.items() if value}
    settings |= {"npmScopes": scopes} if scopes else {}
    settings |= {"npmRegistries": registries} if registries else {}
    return json.dumps(settings).encode()


def _referenced(lines: Iterable[str], environ: Mapping[str, str]) -> dict[str, str]:
    """The variables that npm fills in: `//host/:_authToken=${NPM_TOKEN}`, and those that projects name by custom."""
    names = {name for line in lines for name in _REFERENCE.findall(line)} | {"NPM_TOKEN", "NODE_AUTH_TOKEN"}
    return {name: environ[name] for name in sorted(names) if environ.get(name)}


def _pip(environ: Mapping[str, str], home: Path, root: Path) -> dict[str, list[str]]:
    """pip's settings, as it would merge them: files from the least to the most personal, then `PIP_*` variables."""
    config_home = Path(environ.get("XDG_CONFIG_HOME") or home / ".config")
    paths = [root / "etc" / "pip.conf", home / ".pip" / "pip.conf", config_home / "pip" / "pip.conf"]
    if environ.get("PIP_CONFIG_FILE"):
        paths.append(Path(environ["PIP_CONFIG_FILE"]))
    found: dict[str, list[str]] = {}
    for path in paths:
        parser = configparser.RawConfigParser(strict=False)
        try:
            parser.read_string(_content(path).decode("utf-8", "replace"))
        except configparser.Error:
            continue
        for section in ("global", "install"):
            if parser.has_section(section):
                found |= {key.replace("_", "-"): value.split() for key, value in parser.items(section)}
    for name, value in environ.items():
        if name.startswith("PIP_") and value:
            found[name[4:].lower().replace("_", "-")] = value.split()
    return {key: values for key, values in found.items() if key in _PIP_KEYS}


def _with_folders(settings: dict[str, list[str]]) -> tuple[dict[str, list[str]], tuple[tuple[str, str], ...]]:
    """Local package folders become mounts, and the settings name them as they are inside. What is not there is cut."""
    folders: dict[str, str] = {}
    placed: dict[str, list[str]] = {}
    for key, values in settings.items():
        kept = [_inside(value, folders) for value in values] if key in _PATH_KEYS else values
        if words := [value for value in kept if value]:
            placed[key] = words
    return placed, tuple(folders.items())


def _inside(value: str, folders: dict[str, str]) -> str | None:
    """The value as it reads inside the container; `folders` takes what is to be mounted for it."""
    scheme = "file://" if value.startswith("file://") else ""
    if not scheme and "://" in value:
        return value
    path = Path(value[len(scheme) :])
    if not path.is_absolute() or path == Path("/") or not path.is_dir():
        return None
    # an index is a folder `simple` by custom, and its files lie beside it
    mounted, rest = (path.parent, "/simple") if path.name == "simple" and path.parent != Path("/") else (path, "")
    place = folders.setdefault(str(mounted), f"{LINKS}/{len(folders)}")
    return f"{scheme}{place}{rest}"


def _ini(settings: Mapping[str, list[str]]) -> bytes:
    lines = [f"{key} = " + "\n    ".join(values) for key, values in sorted(settings.items())]
    return "\n".join(["[global]", *lines, ""]).encode()


def _shell(variables: Mapping[str, str]) -> bytes:
    return "".join(f"export {name}={shlex.quote(value)}\n" for name, value in sorted(variables.items())).encode()


def _secrets(
    npmrc: Iterable[str], variables: Mapping[str, str], pip: Mapping[str, list[str]], environ: Mapping[str, str]
) -> tuple[str, ...]:
    """Everything that looks like a credential, the longest first, so that one within another is hidden whole."""
    lines = [*npmrc, *variables.values(), *(value for values in pip.values() for value in values)]
    found = {secret for line in lines for secret in _NPM_SECRET.findall(line) + _USERINFO.findall(line)}
    found |= set(_referenced(npmrc, environ).values())
    return tuple(sorted((secret for secret in found if len(secret) > 3), key=lambda secret: (-len(secret), secret)))
