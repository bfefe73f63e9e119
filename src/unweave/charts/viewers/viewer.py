"""A view of some numbers that a notebook shows inline, and that is a page of its own when saved."""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from importlib.resources import files
from pathlib import Path
from typing import Any, Final, final

from markupsafe import escape

from unweave.charts import palette
from unweave.charts.embedding import script_json
from unweave.charts.figures.checks import Number
from unweave.core.errors import InputError
from unweave.core.files import write_text_atomic

MEGABYTE: Final = 1_000_000
#: Jupyter servers hold back more than about 3 MB of output at once (`iopub_data_rate_limit`).
WARN_ABOVE: Final = 2.5
REFUSE_ABOVE: Final = 10.0

_POLICY: Final = "default-src 'none'; script-src 'unsafe-inline'; style-src 'unsafe-inline'"


class ViewerSizeWarning(UserWarning):
    """A viewer so large that a notebook server may hold it back."""


@final
@dataclass(frozen=True)
class Viewer:
    """A view that Jupyter, VS Code and Colab show as a cell's output, and that `save` writes as a page.

    Its HTML holds data, script and style, and fetches nothing. It draws inside a shadow root, so that any
    number of viewers share a page; where scripts don't run it shows `text`.

    Attributes:
        name: what kind of view it is: the name of its script.
        title: a sentence saying what is seen.
        data: what its script draws; plain JSON.
        text: the same in plain text, for terminals and for readers of a notebook that isn't trusted.
        max_mb: the size above which it is refused, in megabytes of HTML.

    Raises:
        InputError: an empty title, or more than `max_mb`.

    Warns:
        ViewerSizeWarning: above 2.5 MB, from where notebook servers may hold an output back.
    """

    name: str
    title: str
    data: Mapping[str, Any]
    text: str
    max_mb: Number = REFUSE_ABOVE
    _html: str = field(init=False, repr=False, default="")

    def __post_init__(self) -> None:
        if not self.title.strip():
            raise InputError(wanted="a title", got=repr(self.title), remedy="say what is seen")
        object.__setattr__(self, "_html", self._composed())
        remedy = "pass fewer heads, positions or features, or save them as several viewers"
        if self.size_mb > self.max_mb:
            raise InputError(
                wanted=f"a viewer of at most {self.max_mb:g} MB",
                got=f"{self.size_mb:.1f} MB",
                remedy=f"{remedy}; or raise max_mb",
            )
        if self.size_mb > WARN_ABOVE:
            message = (
                f"this viewer has {self.size_mb:.1f} MB, and notebook servers hold back outputs of more "
                f"than about 3 MB: {remedy}, or write it to a page of its own with .save(path)"
            )
            warnings.warn(message, ViewerSizeWarning, stacklevel=4)

    @property
    def size_mb(self) -> float:
        """Megabytes of HTML."""
        return len(self._html.encode()) / MEGABYTE

    def html(self) -> str:
        """The view as a piece of HTML to put into a page; the same view gives the same text."""
        return self._html

    def save(self, path: Path | str) -> Path:
        """Write one HTML page that opens without a network, and return its path.

        The file is there whole or not at all.
        """
        target = Path(path)
        write_text_atomic(target, self._page())
        return target

    def _repr_html_(self) -> str:  # pyright: ignore[reportUnusedFunction]
        return self._html

    def _repr_mimebundle_(  # pyright: ignore[reportUnusedFunction]
        self, include: Any = None, exclude: Any = None
    ) -> dict[str, str]:
        return {"text/plain": self.text, "text/html": self._html}

    def __repr__(self) -> str:
        return self.text

    def _composed(self) -> str:
        data = script_json({"title": whole(self.title), "palette": palette.VIEWER, **self.data})
        # The view is known by its content: shown twice, its script draws both, and nothing is random.
        key = hashlib.sha256(f"{self.name}\n{data}\n{_script(self.name)}{_style()}".encode()).hexdigest()[:16]
        script = (
            f'(() => {{\n"use strict";\nconst KEY = "{key}";\nconst DATA = {data};\n'
            f"const STYLE = {script_json(_style())};\n{_script(self.name)}\n}})();"
        )
        note = "The interactive view needs its script: run the cell, or trust this notebook."
        return (
            f'<div data-unweave-viewer="{key}"><pre>{escape(whole(self.text))}</pre>'
            f"<p><small>{note}</small></p></div>\n<script>{script}</script>\n"
        )

    def _page(self) -> str:
        return (
            '<!doctype html>\n<html lang="en">\n<head>\n<meta charset="utf-8">\n'
            '<meta name="viewport" content="width=device-width, initial-scale=1">\n'
            f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">\n'
            '<meta name="color-scheme" content="light dark">\n'
            f"<title>{escape(whole(self.title))}</title>\n"
            f"<style>body {{ margin: 0 auto; padding: 1rem; max-width: 1200px; background: {palette.PAGE_LIGHT}; }}\n"
            f"@media (prefers-color-scheme: dark) {{ body {{ background: {palette.PAGE_DARK}; color: #e5e8ec; }} }}"
            f"</style>\n</head>\n<body>\n{self._html}</body>\n</html>\n"
        )


def whole(text: str) -> str:
    """`text` as it can be encoded: half of a surrogate pair becomes U+FFFD."""
    return text.encode("utf-16-le", "surrogatepass").decode("utf-16-le", "replace")


@cache
def _script(name: str) -> str:
    """The scripts of this kind of view, without their comments and indentation."""
    lines = "\n".join(_asset(f"{part}.js") for part in ("base", name, "mount")).splitlines()
    return "\n".join(line.strip() for line in lines if line.strip() and not line.strip().startswith("//"))


@cache
def _style() -> str:
    return " ".join(line.strip() for line in _asset("viewer.css").splitlines())


def _asset(name: str) -> str:
    return (files("unweave.charts.viewers") / "assets" / name).read_text(encoding="utf-8")
