"""Where slots lie: outside of what has a name, on the bundles' file system, nobody else's, and gone afterwards."""

from __future__ import annotations

import os
import stat
from pathlib import Path

from fnctl.control.slots_folder import SlotsFolder, discard


def state(folder: Path) -> tuple[Path, Path]:
    """A project's `slots`, and a temporary folder."""
    (folder / "alice" / "project" / "slots").mkdir(parents=True)
    (folder / "tmp").mkdir()
    return folder / "alice" / "project" / "slots", folder / "tmp"


def test_it_lies_outside_while_it_is_used_and_leaves_nothing_there(tmp_path: Path) -> None:
    slots, tmp = state(tmp_path)
    made = SlotsFolder(slots, (tmp,))
    assert (made.path.parent, slots.readlink()) == (tmp, made.path)
    assert stat.S_IMODE(made.path.stat().st_mode) == 0o700
    made.close()
    assert (list(tmp.iterdir()), slots.is_symlink(), list(slots.iterdir())) == ([], False, [])


def test_what_a_killed_run_left_is_used_again(tmp_path: Path) -> None:
    slots, tmp = state(tmp_path)
    left = SlotsFolder(slots, (tmp,)).path
    (left / "1").mkdir()
    again = SlotsFolder(slots, (tmp,))
    assert (again.path, [each.name for each in slots.iterdir()]) == (left, ["1"])


def test_what_a_killed_run_left_is_discarded_unless_another_run_has_it(tmp_path: Path) -> None:
    slots, tmp = state(tmp_path)
    run = SlotsFolder(slots, (tmp,))
    (run.path / "1").mkdir()
    (run.path / "1" / "secret").write_text("canary")
    assert not discard(run.path)
    assert (run.path / "1" / "secret").exists()
    os.close(run._held)  # as its end by SIGKILL does
    assert discard(run.path)
    assert list(tmp.iterdir()) == []
    assert discard(run.path), "it is gone already"
    again = SlotsFolder(slots, (tmp,))
    assert (again.path.parent, slots.readlink()) == (tmp, again.path)


def test_in_the_state_the_folder_itself_stays(tmp_path: Path) -> None:
    slots, _ = state(tmp_path)
    (slots / "1").mkdir()
    assert discard(slots)
    assert list(slots.iterdir()) == []


def test_one_that_others_could_have_made_is_not(tmp_path: Path) -> None:
    slots, tmp = state(tmp_path)
    left = SlotsFolder(slots, (tmp,)).path
    left.chmod(0o755)
    again = SlotsFolder(slots, (tmp,))
    assert again.path != left
    assert slots.readlink() == again.path


def test_one_that_was_cleaned_away_is_made_anew(tmp_path: Path) -> None:
    slots, tmp = state(tmp_path)
    SlotsFolder(slots, (tmp,)).path.rmdir()
    assert SlotsFolder(slots, (tmp,)).path.is_dir()
    assert slots.is_dir()


def test_without_a_temporary_folder_on_that_file_system_they_lie_in_the_state(tmp_path: Path) -> None:
    slots, _ = state(tmp_path)
    for parents in ((), (Path("/proc"),), (tmp_path / "none",)):
        made = SlotsFolder(slots, parents)
        assert made.path == slots
        made.close()
        assert slots.is_dir()
