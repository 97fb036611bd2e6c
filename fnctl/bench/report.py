"""A result as one HTML page that needs nothing but itself: no script, no font, no picture from elsewhere."""

from __future__ import annotations

import json
import re
from pathlib import Path

from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup, escape

from fnctl.bench import figures, plots
from fnctl.bench.measure import Result, as_json

FOLDER = Path(__file__).parent


def page(result: Result) -> str:
    """The page. Its samples are in it too, as JSON, so that it can be computed with again."""
    environment = Environment(
        loader=FileSystemLoader(FOLDER),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters["code"] = code
    return environment.get_template("page.html.j2").render(
        result=result,
        answered=[measure for measure in result.measures if measure.not_measured is None],
        left_out=figures.left_out(result),
        ratios=figures.ratio_table(result),
        load=figures.load_table(result),
        kinds=plots.kinds(result.measures),
        bars=plots.bars(result.load),
        strip=plots.strip,
        figures=figures,
        data=embedded(result),
    )


def code(text: str) -> Markup:
    """Text, escaped, with what stands between backticks as code."""
    return Markup(re.sub(r"`([^`]+)`", r"<code>\1</code>", str(escape(text))))


def embedded(result: Result) -> str:
    """JSON that is safe within a script element: no `<`, so that nothing in it can end the element."""
    return json.dumps(as_json(result), ensure_ascii=False).replace("<", "\\u003c")


def write(result: Result, file: Path) -> None:
    """Replace the file as one."""
    fresh = file.with_name(f".{file.name}.new")
    fresh.write_text(page(result), "utf-8")
    fresh.replace(file)
