from __future__ import annotations

import numpy as np
import pytest

from tests.core.unchecked import as_users_run
from unweave.charts import lines
from unweave.core.errors import InputError

TITLES = {"title": "Loss", "x_title": "step", "y_title": "loss (nats)"}
X = [0, 10, 20]


def test_each_series_is_drawn_as_given():
    figure = lines({"train": (X, [3.0, 2.0, 1.0]), "test": ([0, 20], np.array([3.5, 1.5]))}, **TITLES)
    train, test = figure.data
    assert (list(train.x), list(train.y), train.name) == (X, [3.0, 2.0, 1.0], "train")
    assert (list(test.x), list(test.y), test.name) == ([0, 20], [3.5, 1.5], "test")
    assert train.line.color != test.line.color
    assert train.line.dash != test.line.dash
    assert train.marker.symbol != test.marker.symbol
    assert figure.layout.showlegend
    assert (figure.layout.xaxis.title.text, figure.layout.yaxis.title.text) == ("step", "loss (nats)")
    assert figure.layout.title.text == "Loss"


def test_one_series_needs_no_legend():
    assert not lines({"train": (X, X)}, **TITLES).layout.showlegend


def test_many_points_carry_no_markers():
    assert lines({"train": (range(40), range(40))}, **TITLES).data[0].mode == "lines+markers"
    assert lines({"train": (range(41), range(41))}, **TITLES).data[0].mode == "lines"


def test_a_band_encloses_low_and_high_in_the_colour_of_its_line():
    figure = lines({"a": (X, X), "b": (X, [1, 2, 3])}, bands={"b": ([0, 1, 2], [2, 3, 5])}, **TITLES)
    band, _, line = figure.data
    assert list(band.x) == [0, 10, 20, 20, 10, 0]
    assert list(band.y) == [2, 3, 5, 2, 1, 0]
    assert band.fillcolor == line.line.color
    assert band.legendgroup == line.legendgroup
    assert band.showlegend is False


def test_marks_are_open_symbols_with_their_own_entry():
    figure = lines({"train": (X, X)}, marks=([10], [12.0], "spikes (1)"), **TITLES)
    marks = figure.data[-1]
    assert (list(marks.x), list(marks.y), marks.name) == ([10], [12.0], "spikes (1)")
    assert marks.marker.symbol.endswith("-open")
    assert figure.layout.showlegend


@pytest.mark.parametrize(
    ("values", "step"), [([1e-4, 1.0], 1), ([0.1, 3.0], "D2"), ([1.0, 1.1], None), ([1e-16, 1.0], 2)]
)
def test_a_log_axis_is_labelled_in_plain_numbers(values: list[float], step: str | int | None):
    axis = lines({"train": ([0, 1], values)}, log_y=True, **TITLES).layout.yaxis
    assert (axis.type, axis.dtick) == ("log", step)


def test_gaps_stay_gaps():
    assert np.isnan(lines({"train": (X, [1.0, np.nan, 2.0])}, **TITLES).data[0].y[1])


@pytest.mark.parametrize(
    ("series", "more", "message"),
    [
        ({}, {}, "wanted at least one series; got none; pass a mapping of name to (x, y)"),
        (
            {"train": (X, [1, 2])},
            {},
            "wanted x and y of one length; got x of 3, y of 2; pass one entry of each for every point",
        ),
        (
            {"train": ([], [])},
            {},
            "wanted x of 'train' as a non-empty 1-D array; got shape (0,); "
            "index or stack it to that shape before drawing it",
        ),
        (
            {"train": (X, [1, 0, -1])},
            {"log_y": True},
            "wanted y of 'train' finite and above zero, for a logarithmic scale; "
            "got 0.0 at 1 (2 of 3 cannot be drawn); use a linear scale, or drop these values first",
        ),
        (
            {"train": (X, [1, np.inf, 2])},
            {},
            "wanted y of 'train' finite, with NaN only for gaps; got inf at 1 (1 not finite); "
            "drop or clip these values first",
        ),
        (
            {"train": (X, X)},
            {"bands": {"tain": (X, X)}},
            "wanted bands named after a series; got 'tain'; use one of: train",
        ),
        (
            {"train": (X, X)},
            {"bands": {"train": ([1, 2, 3], [2, 1, 4])}},
            "wanted the interval of band 'train' with low <= high; got low 2.0 above high 1.0 at 1; "
            "pass (low, high) in that order",
        ),
        (
            {"train": (X, X)},
            {"marks": ([1], [1, 2], "spikes")},
            "wanted x and y of one length; got x of 1, y of 2; pass one entry of each for every point",
        ),
    ],
)
def test_what_cannot_be_drawn_is_refused(series: dict, more: dict, message: str):
    with pytest.raises(InputError) as caught:
        lines(series, **TITLES, **more)
    assert str(caught.value) == message


def test_what_are_not_numbers_is_refused():
    with (
        as_users_run(),
        pytest.raises(InputError, match=r"^wanted y of 'train' as a 1-D array of real numbers"),
    ):
        lines({"train": (X, ["a", "b", "c"])}, **TITLES)


def test_an_interval_is_a_pair():
    with (
        as_users_run(),
        pytest.raises(InputError, match=r"as a tuple \(low, high\); got list; pass the two ends"),
    ):
        lines({"train": (X, X)}, bands={"train": [X, X]}, **TITLES)  # pyright: ignore[reportArgumentType]


@pytest.mark.parametrize("name", ["title", "x_title", "y_title"])
def test_titles_are_required(name: str):
    with pytest.raises(InputError, match=f"^wanted a {name}; got ' '; say what is seen"):
        lines({"train": (X, X)}, **{**TITLES, name: " "})
