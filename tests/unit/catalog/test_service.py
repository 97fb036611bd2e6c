"""service.yaml: what is read from it, and what is said where it cannot be used."""

from __future__ import annotations

from pathlib import Path

import pytest

from fnctl import catalog
from fnctl.errors import ConfigError
from fnctl.model import Ready

WHOLE = """
about: a cache
image: example.org/cache:7
command: [/usr/bin/cache, --port, 6379]
ports: [6379]
volume: /var/lib/cache
environment: {LEVEL: 3}
memory_mb: 512
"""


def folder(root: Path, name: str, text: str) -> Path:
    (root / name).mkdir()
    (root / name / "service.yaml").write_text(text)
    return root / name


def test_a_folder_is_a_type_of_its_name(tmp_path: Path) -> None:
    made = folder(tmp_path, "cache", WHOLE)
    (tmp_path / "base").mkdir()
    (kind,) = catalog.service_types(tmp_path).values()
    assert (kind.name, kind.folder, kind.about) == ("cache", made, "a cache")
    assert (kind.image, kind.own_image) == ("example.org/cache:7", False)
    assert kind.command == ("/usr/bin/cache", "--port", "6379")
    assert (kind.ports, kind.ready, kind.volume) == ((6379,), Ready.LISTEN, "/var/lib/cache")
    assert (kind.environment, kind.memory_mb) == ((("LEVEL", "3"),), 512)


def test_what_is_left_out(tmp_path: Path) -> None:
    kind = catalog.read_service_type(folder(tmp_path, "cache", "command: [cache]\nready: dial\n"))
    assert (kind.image, kind.volume, kind.environment, kind.ports, kind.memory_mb) == (None, None, (), (), 256)


def test_an_image_of_its_own_is_told_by_the_file_that_makes_it(tmp_path: Path) -> None:
    made = folder(tmp_path, "cache", "command: [cache]\nports: [1]\n")
    (made / catalog.SERVICE_SNIPPET).write_text("RUN true\n")
    assert catalog.read_service_type(made).own_image


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("ports: [80]", "key 'command' is missing"),
        ("command: [a]", "key 'ports' is missing"),
        ("command: a\nports: [80]", "command must be a list"),
        ("command: [a]\nports: [http]", "port 'http' is not a number"),
        ("command: [a]\nports: [70000]", "port 70000 is not a number"),
        ("command: [a]\nready: soon", "'soon' is not a valid Ready"),
        ("command: [a]\nports: [1]\nvolume: data", "volume 'data' is not a path"),
        ("command: [a]\nports: [1]\nvolumes: /data", "unknown key 'volumes'"),
        ("- a", "a mapping is expected"),
        ("a: [", "not valid YAML"),
    ],
)
def test_what_cannot_be_used_is_told_with_the_file(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(ConfigError, match=r"cache/service\.yaml") as caught:
        catalog.read_service_type(folder(tmp_path, "cache", text))
    assert said in caught.value.message


def test_one_way_to_an_image_and_a_name_that_fits(tmp_path: Path) -> None:
    made = folder(tmp_path, "cache", "image: a\nports: [1]\n")
    (made / catalog.SERVICE_SNIPPET).write_text("RUN true\n")
    with pytest.raises(ConfigError, match="one of the two"):
        catalog.read_service_type(made)
    with pytest.raises(ConfigError, match="cannot be a type"):
        catalog.read_service_type(folder(tmp_path, "My Cache", "image: a\nports: [1]\n"))


def test_the_shipped_types() -> None:
    assert {name: kind.ready for name, kind in catalog.service_types().items()} == {
        "data": Ready.DIAL,
        "mail": Ready.DIAL,
    }
