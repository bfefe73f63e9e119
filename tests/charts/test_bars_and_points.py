from __future__ import annotations

import numpy as np
import pytest

from unweave.charts import bars, histogram, palette, scatter
from unweave.core.errors import InputError

TITLES = {"title": "Ablation", "x_title": "loss (nats)", "y_title": "head"}
LABELS = ["L0H0", "L0H1", "L0H2"]


def test_bars_run_from_the_left_with_the_first_at_the_top():
    figure = bars(LABELS, [1.0, 2.0, 0.5], **TITLES)
    [trace] = figure.data
    assert (list(trace.y), list(trace.x), trace.orientation) == (LABELS, [1.0, 2.0, 0.5], "h")
    assert figure.layout.yaxis.autorange == "reversed"
    assert not figure.layout.showlegend


def test_bars_may_stand():
    [trace] = bars(LABELS, [1.0, 2.0, 0.5], horizontal=False, **TITLES).data
    assert (list(trace.x), list(trace.y), trace.orientation) == (LABELS, [1.0, 2.0, 0.5], "v")


def test_groups_differ_in_colour_and_pattern():
    first, second = bars(LABELS, {"zero": [1, 2, 3], "mean": [3, 2, 1]}, **TITLES).data
    assert (list(first.x), list(second.x)) == ([1, 2, 3], [3, 2, 1])
    assert first.marker.color != second.marker.color
    assert first.marker.pattern.shape != second.marker.pattern.shape


def test_intervals_reach_from_low_to_high():
    [trace] = bars(LABELS, [1.0, 2.0, 3.0], errors=([0.5, 1.0, 3.0], [2.0, 2.5, 3.0]), **TITLES).data
    np.testing.assert_allclose(trace.x + trace.error_x.array, [2.0, 2.5, 3.0])
    np.testing.assert_allclose(trace.x - trace.error_x.arrayminus, [0.5, 1.0, 3.0])


def test_intervals_go_to_their_own_group():
    figure = bars(LABELS, {"a": [1, 2, 3], "b": [1, 2, 3]}, errors={"b": ([0, 1, 2], [2, 3, 4])}, **TITLES)
    assert figure.data[0].error_x.array is None
    np.testing.assert_allclose(figure.data[1].error_x.array, [1, 1, 1])


def test_a_baseline_crosses_all_bars_and_is_named():
    figure = bars(LABELS, [1.0, 2.0, 3.0], baseline=(1.5, "clean model"), **TITLES)
    [line] = figure.layout.shapes
    assert (line.x0, line.x1, line.yref, line.y0, line.y1) == (1.5, 1.5, "paper", 0, 1)
    assert (line.name, line.showlegend, figure.layout.showlegend) == ("clean model", True, True)


def test_a_log_axis_shows_bars_intervals_and_baseline():
    figure = bars(
        LABELS,
        [0.1, 1.0, 10.0],
        errors=([0.1, 1, 1], [1, 1, 50.0]),
        log_x=True,
        baseline=(0.01, "b"),
        **TITLES,
    )
    low, high = figure.layout.xaxis.range
    assert figure.layout.xaxis.type == "log"
    assert low < np.log10(0.01)
    assert high > np.log10(50)


def test_on_a_log_axis_bars_start_at_the_baseline():
    values = [0.1, 0.001, 10.0]
    [trace] = bars(LABELS, values, log_x=True, baseline=(0.01, "clean model"), **TITLES).data
    assert trace.base == 0.01
    np.testing.assert_allclose(trace.base + trace.x, values)
    assert list(trace.customdata) == values
    assert "%{customdata:.4g}" in trace.hovertemplate
    assert bars(LABELS, values, log_x=True, **TITLES).data[0].base is None
    assert bars(LABELS, values, baseline=(0.01, "clean model"), **TITLES).data[0].base is None


def test_labels_that_repeat_keep_their_bars():
    [trace] = bars(["to", "be", "to"], [1, 2, 3], **TITLES).data
    assert len(set(trace.y)) == 3


def test_long_labels_get_more_room_on_a_phone():
    figure = bars(["a head that copies the token after the last occurrence"] * 3, [1, 2, 3], **TITLES)
    phone, wide = figure.layout.meta["fits"]
    assert phone["height"] > wide["height"]
    assert all("<br>" in label for label in phone["layout"]["yaxis"]["ticktext"])


@pytest.mark.parametrize(
    ("values", "more", "message"),
    [
        ([1, 2], {}, "wanted labels and values of one length; got labels of 3, values of 2"),
        ([1, 2, 0], {"log_x": True}, r"wanted values finite and above zero.*got 0.0 at 2 \(1 of 3"),
        ([1, 2, 3], {"log_x": True, "baseline": (0, "b")}, "wanted the baseline finite and above zero"),
        ([1, 2, 3], {"log_x": True, "horizontal": False}, "wanted horizontal bars with log_x"),
        ({}, {}, "wanted at least one series; got none"),
        (
            {"a": [1, 2, 3]},
            {"errors": {"b": ([1], [2])}},
            "wanted errors named after a series; got 'b'; use one of: a",
        ),
        (
            [1, 2, 3],
            {"errors": ([1], [2])},
            "wanted values and low and high of one length; got values of 3, low of 1",
        ),
    ],
)
def test_bars_that_cannot_be_drawn_are_refused(values: list, more: dict, message: str):
    with pytest.raises(InputError, match=f"^{message}"):
        bars(LABELS, values, **TITLES, **more)


def test_a_histogram_counts_every_series_into_the_same_bins():
    values = {"a": [0.0, 0.1, 0.9, 1.0], "b": [0.5, np.nan, 2.0]}
    first, second = histogram(values, bins=2, title="t", x_title="x").data
    assert list(first.x) == list(second.x) == [0.5, 1.5]
    assert (list(first.y), list(second.y)) == ([3, 1], [1, 1])
    assert first.width == 1


def test_a_histogram_needs_bins():
    with pytest.raises(InputError, match=r"^wanted at least one series and one bin; got 1 series and 0 bins"):
        histogram([1.0], bins=0, title="t", x_title="x")


POINTS = {"title": "Heads", "x_title": "x", "y_title": "y", "trace_name": "head"}


def test_points_are_drawn_as_given():
    [trace] = scatter([1, 2], [3, 4], text=["L0H0", "L0H1"], **POINTS).data
    assert (list(trace.x), list(trace.y), list(trace.text)) == ([1, 2], [3, 4], ["L0H0", "L0H1"])
    assert trace.name == "head"


def test_numbers_colour_points_along_a_scale():
    figure = scatter([1, 2], [3, 4], colour=[-1.0, 2.0], colour_title="effect", diverging=True, **POINTS)
    assert list(figure.data[0].marker.color) == [-1, 2]
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-2, 2)
    assert figure.layout.coloraxis.colorbar.title.text == "effect"


def test_words_part_points_into_kinds_by_colour_and_symbol():
    kinds = ["induction", "other", "induction"]
    figure = scatter([1, 2, 3], [4, 5, 6], colour=kinds, text=["a", "b", "c"], **POINTS)
    induction, other = figure.data
    assert (list(induction.x), list(induction.y), list(induction.text)) == ([1, 3], [4, 6], ["a", "c"])
    assert (list(other.x), other.name) == ([2], "other")
    assert (induction.marker.color, other.marker.color) == palette.CATEGORIES[:2]
    assert induction.marker.symbol != other.marker.symbol


@pytest.mark.parametrize(
    ("more", "message"),
    [
        ({"colour": [1.0, 2.0]}, "wanted colour_title with numbers as colour; got none"),
        ({"colour": ["a"]}, "wanted x and colour of one length; got x of 2, colour of 1"),
        ({"text": ["a"]}, "wanted x and text of one length; got x of 2, text of 1"),
    ],
)
def test_points_that_cannot_be_drawn_are_refused(more: dict, message: str):
    with pytest.raises(InputError, match=f"^{message}"):
        scatter([1, 2], [3, 4], **POINTS, **more)
