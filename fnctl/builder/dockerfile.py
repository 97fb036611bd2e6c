"""The text of the Dockerfiles of layer images. Pure: snippets in, text out."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Snippet:
    """A part of a Dockerfile, written in Jinja2. `folder`: where COPY finds its files, in the build context."""

    folder: str
    text: str
    runtimes: tuple[str, ...]  # the selected runtimes that this folder declares


def runtimes_dockerfile(base: str, snippets: Sequence[Snippet]) -> str:
    """Base and language runtimes: big, changes seldom."""
    return "\n\n".join([f"FROM {base}", *(_render(snippet) for snippet in snippets)]) + "\n"


# Where Docker's users look for secrets. The slot has them where its function has any; in a shipped image the link leads
# nowhere until Docker itself puts some there.
SECRETS = "RUN rm -rf /run/secrets && ln -s /fn/secrets /run/secrets"


def sandbox_dockerfile(runtimes_image: str, agents: Sequence[str], snippets: Sequence[Snippet]) -> str:
    """The agents' files on the runtimes: small, and the last layers, so that a changed agent costs about a second."""
    copies = [f"COPY {folder}/ /opt/fnctl/{'' if folder == 'base' else folder + '/'}" for folder in agents]
    return (
        "\n\n".join(
            [f"FROM {runtimes_image}", "\n".join([SECRETS, *copies]), *(_render(snippet) for snippet in snippets)]
        )
        + "\n"
    )


def tools_dockerfile(runtimes_image: str, agent: str, tools: Snippet) -> str:
    """A runtime's tools for builds, which change seldom, then its own files."""
    return f"FROM {runtimes_image}\n\n{_render(tools)}\n\nCOPY {agent}/ /opt/fnctl/{agent}/\n"


def _render(snippet: Snippet) -> str:
    from jinja2 import Environment, StrictUndefined  # only where something is built: it takes 50 ms to import

    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    text = environment.from_string(snippet.text).render(folder=snippet.folder, runtimes=snippet.runtimes)
    return f"# layers/{snippet.folder}\n{text.strip()}"
