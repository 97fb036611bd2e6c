"""The error for a folder that can be understood in several ways: their evidence, and the line that settles it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from fnctl.config.detect.finding import Finding, Reading
from fnctl.config.nearest_runtime import nearest
from fnctl.errors import ConfigError
from fnctl.model import RuntimeSpec


def doubt(name: str, readings: Sequence[Reading], runtimes: Iterable[RuntimeSpec]) -> ConfigError:
    """`name` is what messages call the folder."""
    key, known = _key(readings), list(runtimes)
    values = _values(key, readings, known)
    return ConfigError(
        f"cannot detect what {name} is: it could be {summary(readings)}",
        detail="\n".join(row for each in readings for row in _rows(each, key, known)),
        hint=f"set {_line(key, values)} in fnctl.yaml; `fnctl init --from . --{key} {values[0]}` writes the file",
    )


def summary(readings: Sequence[Reading]) -> str:
    """The readings in words; where they differ in the contract alone, the handler is named once."""
    firsts = [reading.findings[0] for reading in readings]
    if _key(readings) == "contract" and len(readings) > 1:
        return f"{firsts[0].language} `{firsts[0].starts}` as {' or '.join(each.contract for each in firsts)}"
    return " or ".join(reading.words for reading in readings)


def settling(readings: Sequence[Reading], runtimes: Iterable[RuntimeSpec]) -> str:
    """The line of configuration that tells the readings apart, as each has it."""
    key = _key(readings)
    return _line(key, _values(key, readings, list(runtimes)))


def _key(readings: Sequence[Reading]) -> str:
    """What the readings differ in: languages before handlers before contracts."""
    firsts = [reading.findings[0] for reading in readings]
    if len({each.language for each in firsts}) > 1:
        return "runtime"
    return "handler" if len({each.starts for each in firsts}) > 1 else "contract"


def _values(key: str, readings: Sequence[Reading], runtimes: Sequence[RuntimeSpec]) -> list[str]:
    return list(dict.fromkeys(_value(key, reading.findings[0], runtimes) for reading in readings))


def _value(key: str, finding: Finding, runtimes: Sequence[RuntimeSpec]) -> str:
    if key == "runtime":
        spec = nearest(finding.language, finding.wanted, runtimes).spec
        return spec.name if spec else finding.language
    return finding.starts if key == "handler" else str(finding.contract)


def _line(key: str, values: Sequence[str]) -> str:
    return " or ".join(f"`{key}: {value}`" for value in values)


def _rows(reading: Reading, key: str, runtimes: Sequence[RuntimeSpec]) -> list[str]:
    rows = []
    for finding in reading.findings:
        rows.append(f"{key}: {_value(key, finding, runtimes)}")
        for each in finding.evidence:
            reason = _reason(each.so)
            rows.append(f"  {each.where}  {each.says}" + (f"  ({reason})" if reason else ""))
    return rows


def _reason(so: str) -> str:
    """What is behind the colon of `contract lambda: AWS Lambda alone has this`."""
    return "; ".join(part.partition(": ")[2] for part in so.split("; ") if ": " in part)
