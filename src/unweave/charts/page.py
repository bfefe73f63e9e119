"""One self-contained HTML file: text, figures, tables and claims that open without a network."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from itertools import count
from pathlib import Path
from typing import Any, final

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup
from plotly.offline import get_plotlyjs

from unweave.charts import palette
from unweave.charts.blocks import VERDICT_SYMBOLS, Block, Cell, ClaimCard, Picture, Section
from unweave.charts.embedding import figure_json, figure_title, figure_width, script_json
from unweave.charts.inline import inline, paragraphs
from unweave.core.errors import InputError
from unweave.core.files import write_text_atomic


@final
@dataclass(frozen=True)
class Page:
    """A page of results.

    Attributes:
        title: the heading, and the title of the browser's tab.
        subtitle: one line under it.
        summary: the findings in a paragraph or two, with the markup of `Text`.
        sections: in order; each is listed in the table of contents.
        footer: where the results come from (model, seed, versions), with the same markup.
    """

    title: str
    subtitle: str
    summary: str
    sections: Sequence[Section]
    footer: str = ""

    def __post_init__(self) -> None:
        anchors = [section.anchor for section in self.sections]
        anchors += [block.anchor for block in self.blocks() if isinstance(block, ClaimCard)]
        pictures = sum(isinstance(block, Picture) for block in self.blocks())
        anchors += [f"figure-{number}" for number in range(1, pictures + 1)]
        twice = [anchor for anchor, times in Counter(anchors).items() if times > 1]
        if twice:
            raise InputError(
                wanted="anchors and claim ids that differ",
                got=f"{', '.join(twice)} more than once",
                remedy="rename one: links lead to the first only",
            )

    def blocks(self) -> Iterator[Block]:
        """Every block of every section, in order."""
        for section in self.sections:
            yield from section.blocks


def write_page(page: Page, path: Path | str) -> Path:
    """Write `page` to `path` as one HTML file of about 5 MB, most of it plotly's own script.

    The file is there whole or not at all, and the same page gives the same bytes.

    Returns:
        The path written.

    Raises:
        InputError: a link in the text leads to a script.
    """
    target = Path(path)
    write_text_atomic(target, page_html(page))
    return target


def page_html(page: Page) -> str:
    """`page` as HTML: every text escaped, every script and style inside it, nothing fetched."""
    number = count(1)
    sections = [
        (section, [(block, next(number) if isinstance(block, Picture) else 0) for block in section.blocks])
        for section in page.sections
    ]
    template = _environment().get_template("page.html.j2")
    return template.render(
        page=page,
        sections=sections,
        has_figures=any(isinstance(block, Picture) for block in page.blocks()),
        plotly=_plotly_script(),
        palette=palette,
        colours=script_json(palette.LIGHT_TO_DARK),
    )


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("unweave.charts", "templates"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        keep_trailing_newline=True,
    )
    filters: dict[str, Any] = {
        "inline": inline,
        "paragraphs": paragraphs,
        "cell": cell_text,
        "figure_json": figure_json,
        "figure_title": figure_title,
        "figure_width": figure_width,
        "viewer_html": lambda viewer: Markup(viewer.html()),
    }
    names: dict[str, Any] = {"symbols": VERDICT_SYMBOLS}
    environment.filters.update(filters)
    environment.globals.update(names)
    return environment


@cache
def _plotly_script() -> Markup:
    return Markup(get_plotlyjs().replace("</script", "<\\/script"))


def cell_text(value: Cell) -> str:
    """A table cell as text: floats to four significant digits, None as an em dash."""
    if value is None:
        return "—"
    return f"{value:.4g}".replace("-", "−") if isinstance(value, float) else str(value)
