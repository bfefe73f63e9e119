from __future__ import annotations

import json
import math

import numpy as np
import plotly.graph_objects as go
import pytest

from unweave.charts import heatmap, lines
from unweave.charts.embedding import figure_json, figure_title, figure_width, rounded

TITLES = {"title": "T", "x_title": "x", "y_title": "y"}


@pytest.mark.parametrize(
    ("value", "short"),
    [
        (0.1, 0.1),
        (1 / 3, 0.333333),
        (123456.789, 123457),
        (1234567.0, 1234567),
        (-2.5e-9, -2.5e-9),
        (1e300, 1e300),
        (0.0, 0),
        (math.nan, None),
        (-math.inf, None),
    ],
)
def test_numbers_keep_six_digits(value: float, short: float | None):
    assert rounded(value) == short
    assert isinstance(rounded(0.0), int)


def test_the_data_survive_to_six_digits():
    y = np.random.default_rng(0).normal(size=100) * 10.0 ** np.arange(-50, 50)
    [trace] = json.loads(figure_json(lines({"a": (np.arange(100), y)}, **TITLES)))["data"]
    assert trace["x"] == list(range(100))
    np.testing.assert_allclose(trace["y"], y, rtol=1e-5)


@pytest.mark.parametrize("kind", [np.float32, np.int8, np.float64])
def test_matrices_of_any_kind_come_back_in_shape(kind: type[np.generic]):
    values = np.arange(6).reshape(2, 3).astype(kind)
    [trace] = json.loads(figure_json(go.Figure(go.Heatmap(z=values))))["data"]
    assert trace["z"] == [[0, 1, 2], [3, 4, 5]]


def test_gaps_are_null():
    [trace] = json.loads(figure_json(go.Figure(go.Scatter(y=np.array([1.0, np.nan])))))["data"]
    assert trace["y"] == [1, None]


def test_no_text_ends_the_script_early():
    figure = go.Figure(go.Scatter(x=[1], y=[1], name="</script><script>alert(1)</script><!--"))
    text = figure_json(figure)
    assert "<" not in text
    assert ">" not in text
    assert json.loads(text)["data"][0]["name"] == "</script><script>alert(1)</script><!--"


def test_the_page_takes_the_title_and_its_room():
    figure = heatmap([[1.0, 2.0]], colour_title="c", **TITLES)
    layout = json.loads(figure_json(figure))["layout"]
    assert "title" not in layout
    assert layout["margin"]["t"] == figure.layout.margin.t - figure.layout.meta["title_px"]
    assert figure_title(figure) == "T"
    assert figure.layout.title.text == "T", "the figure itself was changed"


def test_a_foreign_figure_keeps_its_title():
    figure = go.Figure(layout={"title": {"text": "mine"}})
    assert json.loads(figure_json(figure))["layout"]["title"]["text"] == "mine"
    assert figure_title(figure) == ""
    assert figure_width(figure) is None


def test_square_figures_have_a_greatest_width():
    assert figure_width(heatmap([[1.0]], colour_title="c", **TITLES)) == 560
    assert figure_width(lines({"a": ([1], [1])}, **TITLES)) is None
