"""Whose a container, network or volume is: the labels that say so. Not what it is for, and not which run it is of."""

from __future__ import annotations

import getpass
import os

from fnctl import paths
from fnctl.engine.port import LABEL, LABEL_FOLDER, LABEL_HOME, LABEL_PROJECT, LABEL_USER
from fnctl.model import Project


def owned(project_id: str) -> dict[str, str]:
    """What a look for this home's own things of a project asks for. Another home's of the same folder are not found."""
    return {LABEL: "1", LABEL_HOME: paths.home_id(), LABEL_PROJECT: project_id}


def labels(project: Project) -> dict[str, str]:
    """The same, and for people: the folder and the user."""
    folder = str(project.place or project.root).encode(errors="replace").decode(errors="replace")
    return {**owned(project.id), LABEL_FOLDER: folder, LABEL_USER: user()}


def user() -> str:
    try:
        return getpass.getuser()
    except (KeyError, OSError):  # a uid without a name
        return str(os.getuid())
