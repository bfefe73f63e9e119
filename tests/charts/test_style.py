from __future__ import annotations

import re
import subprocess
import sys
from collections.abc import Callable

import plotly.graph_objects as go
import plotly.io as pio
import pytest

from unweave.charts import bars, heatmap, histogram, lines, scatter, small_multiples
from unweave.charts.figures.style import wrapped

BAD = "<img src=x onerror=alert(1)></script>"
MATRIX = [[1.0, 2.0], [3.0, 4.0]]
FIGURES: dict[str, Callable[[str], go.Figure]] = {
    "lines": lambda t: lines(
        {t: ([1], [1]), "b": ([1], [1])}, title=t, x_title=t, y_title=t, marks=([1], [1], t)
    ),
    "heatmap": lambda t: heatmap(MATRIX, title=t, x_title=t, y_title=t, colour_title=t, x=[t, t], y=[t, "b"]),
    "small_multiples": lambda t: small_multiples(
        [(t, MATRIX)], title=t, x_title=t, y_title=t, colour_title=t
    ),
    "bars": lambda t: bars([t, "b"], {t: [1, 2]}, title=t, x_title=t, y_title=t, baseline=(1, t)),
    "histogram": lambda t: histogram({t: [1, 2]}, title=t, x_title=t, y_title=t),
    "scatter": lambda t: scatter(
        [1], [1], title=t, x_title=t, y_title=t, trace_name=t, text=[t], colour=[1], colour_title=t
    ),
    "categories": lambda t: scatter([1], [1], title=t, x_title=t, y_title=t, trace_name=t, colour=[t]),
}


@pytest.mark.parametrize("name", FIGURES)
def test_plotly_takes_no_text_for_markup(name: str):
    spec = FIGURES[name](BAD).to_plotly_json()
    spec["layout"].pop("meta")  # the title as given, which the page escapes
    drawn = str(spec)
    assert "<img" not in drawn
    assert "<s" not in drawn
    assert "&lt;img" in drawn


@pytest.mark.parametrize("name", FIGURES)
def test_a_figure_is_transparent_and_carries_its_own_template(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(pio.templates, "default", "plotly_dark")
    layout = FIGURES[name]("plain").layout
    assert layout.template.layout.paper_bgcolor == layout.template.layout.plot_bgcolor == "rgba(0,0,0,0)"
    assert layout.template.layout.xaxis.automargin
    assert layout.paper_bgcolor is None


@pytest.mark.parametrize("name", FIGURES)
def test_title_and_legend_have_room_above_the_plot(name: str):
    short, long = FIGURES[name]("plain").layout, FIGURES[name]("a long title " * 12).layout
    assert short.margin.t >= short.meta["title_px"]
    assert long.title.text.count("<br>") > 0
    assert long.margin.t > short.margin.t
    assert long.height > short.height


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ("short", ["short"]),
        (" the", [" the"]),
        ("", [""]),
        ("one two three", ["one two", "three"]),
        ("blocks.0.attn.hook_q", ["blocks.0.", "attn.hook_", "q"]),
        ("abcdefghijklmno", ["abcdefghij", "klmno"]),
        ("a < b and c > d", ["a &lt; b and", "c &gt; d"]),
        ("a\nb", ["a\\nb"]),
        ("exactly-10", ["exactly-10"]),
        ("1234567890 x", ["1234567890", "x"]),
    ],
)
def test_long_text_breaks_where_names_may(text: str, lines: list[str]):
    assert wrapped(text, 10).split("<br>") == lines


@pytest.mark.parametrize("text", ["", " the", "L0H1", "x" * 99, "blocks.0.attn.hook_pattern", "a  b - c" * 9])
def test_breaking_loses_nothing_but_blanks(text: str):
    for width in (5, 10, 34):
        lines = wrapped(text, width).split("<br>")
        assert max(map(len, lines)) <= width
        assert re.sub(r"\s", "", "".join(lines)) == re.sub(r"\s", "", text)


def test_longer_legends_get_more_rows():
    def top(names: list[str]) -> int:
        series = {name: ([1], [1]) for name in names}
        return lines(series, title="t", x_title="x", y_title="y").layout.margin.t

    assert top(["a"]) < top(["a", "b"]) < top(["a rather long series name " * 2 + str(i) for i in range(5)])


def test_importing_charts_loads_no_torch_and_sets_no_theme():
    script = (
        "import sys, plotly.io as pio; before = pio.templates.default, list(pio.templates);"
        "import unweave.charts;"
        "assert 'torch' not in sys.modules, 'torch is loaded';"
        "assert (pio.templates.default, list(pio.templates)) == before, 'the theme is changed'"
    )
    result = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
