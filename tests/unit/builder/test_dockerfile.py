"""The text of layer Dockerfiles."""

from __future__ import annotations

import pytest
from jinja2 import UndefinedError

from fnctl.builder.dockerfile import Snippet, runtimes_dockerfile, sandbox_dockerfile, tools_dockerfile


def test_runtimes_stand_on_the_base_in_the_given_order() -> None:
    node = Snippet(
        "node",
        "{# why #}\n"
        "{% for runtime in runtimes %}\nCOPY {{ folder }}/{{ runtime }}/ /opt/{{ runtime }}/\n{% endfor %}\n",
        ("node22", "node24"),
    )
    text = runtimes_dockerfile("base:1", [node, Snippet("python", "RUN install-python\n", ("python3.13",))])
    assert text == (
        "FROM base:1\n\n# layers/node\nCOPY node/node22/ /opt/node22/\nCOPY node/node24/ /opt/node24/\n\n"
        "# layers/python\nRUN install-python\n"
    )


def test_agents_are_copied_each_to_its_place_and_base_to_the_top() -> None:
    text = sandbox_dockerfile("runtimes:1", ["base", "node"], [Snippet("node", "RUN warm-up", ("node24",))])
    assert text == (
        "FROM runtimes:1\n\nRUN rm -rf /run/secrets && ln -s /fn/secrets /run/secrets\nCOPY base/ /opt/fnctl/\n"
        "COPY node/ /opt/fnctl/node/\n\n# layers/node\nRUN warm-up\n"
    )


def test_a_misspelt_variable_is_an_error_and_not_an_empty_word() -> None:
    with pytest.raises(UndefinedError):
        runtimes_dockerfile("base:1", [Snippet("node", "COPY {{ fodler }}/ /", ("node24",))])


def test_tools_come_before_the_folders_own_files_which_change_more_often() -> None:
    text = tools_dockerfile("runtimes:1", "go", Snippet("go", "RUN install-go\n", ("go1.24",)))
    assert text == "FROM runtimes:1\n\n# layers/go\nRUN install-go\n\nCOPY go/ /opt/fnctl/go/\n"
