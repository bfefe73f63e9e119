from __future__ import annotations

import numpy as np
import pytest

from unweave.charts import heatmap, palette, small_multiples
from unweave.charts.figures.fitting import LEFT, RIGHT
from unweave.charts.figures.style import BOTTOM, TOP
from unweave.core.errors import InputError

TITLES = {"title": "Pattern", "x_title": "key", "y_title": "query", "colour_title": "attention"}
SQUARE = np.arange(9.0).reshape(3, 3)


def test_the_matrix_is_drawn_as_given_with_row_0_at_the_top():
    figure = heatmap(SQUARE, **TITLES)
    np.testing.assert_array_equal(figure.data[0].z, SQUARE)
    assert figure.layout.yaxis.autorange == "reversed"
    scale = figure.layout.coloraxis
    assert (scale.cmin, scale.cmax, scale.colorbar.title.text) == (0, 8, "attention")


def test_cells_are_square_where_the_matrix_is():
    assert heatmap(SQUARE, **TITLES).layout.yaxis.scaleanchor == "x"
    assert heatmap(SQUARE[:2], **TITLES).layout.yaxis.scaleanchor is None


def test_hovering_gives_row_column_and_value():
    template = heatmap(SQUARE, **TITLES).data[0].hovertemplate
    assert template.startswith("query: %{y}<br>key: %{x}<br>attention: %{z:.4g}")


def test_masked_and_unknown_cells_stay_empty():
    values = SQUARE.copy()
    values[2, 0] = np.nan
    trace = heatmap(values, mask_upper=True, **TITLES).data[0]
    np.testing.assert_array_equal(np.isnan(trace.z), [[0, 1, 1], [0, 0, 1], [1, 0, 0]])
    assert trace.hoverongaps is False
    assert not np.isnan(values[0, 1]), "the caller's array was changed"


def test_masked_cells_do_not_set_the_scale():
    values = SQUARE.copy()
    values[0, 2] = 1000
    assert heatmap(values, mask_upper=True, **TITLES).layout.coloraxis.cmax == 8


def test_a_diverging_scale_is_centred_at_zero():
    scale = heatmap([[-1.0, 3.0]], diverging=True, **TITLES).layout.coloraxis
    assert (scale.cmin, scale.cmax) == (-3, 3)
    assert scale.colorscale[3] == (0.5, dict(palette.DIVERGING)[0.5])


def test_a_log_scale_colours_by_the_logarithm_and_shows_the_value():
    figure = heatmap([[0.01, 1.0], [10.0, 100.0]], log=True, **TITLES)
    np.testing.assert_allclose(figure.data[0].z, [[-2, 0], [1, 2]])
    np.testing.assert_array_equal(figure.data[0].customdata, [[0.01, 1.0], [10.0, 100.0]])
    assert "%{customdata:.4g}" in figure.data[0].hovertemplate
    bar = figure.layout.coloraxis.colorbar
    assert list(bar.tickvals) == [-2, -1, 0, 1, 2]
    assert list(bar.ticktext) == ["0.01", "0.1", "1", "10", "100"]


def test_a_log_scale_asks_nothing_of_empty_cells():
    trace = heatmap([[1.0, -5.0], [np.nan, 100.0]], log=True, mask_upper=True, **TITLES).data[0]
    np.testing.assert_array_equal(trace.z, [[0, np.nan], [np.nan, 2]])


def test_constant_values_have_a_scale():
    scale = heatmap(np.ones((2, 2)), **TITLES).layout.coloraxis
    assert (scale.cmin, scale.cmax) == (0.5, 1.5)


def test_limits_set_the_scale():
    scale = heatmap(SQUARE, limits=(0, 1), **TITLES).layout.coloraxis
    assert (scale.cmin, scale.cmax) == (0, 1)


def test_tokens_that_repeat_stay_apart_and_look_the_same():
    figure = heatmap(SQUARE, x=["to", "be", "to"], y=["<s>", "a\nb", ""], **TITLES)
    labels = list(figure.data[0].x)
    assert len(set(labels)) == 3
    assert [label.replace("\u200b", "") for label in labels] == ["to", "be", "to"]
    assert list(figure.data[0].y) == ["&lt;s&gt;", "a\\nb", ""]


def test_coordinates_may_be_numbers():
    assert list(heatmap(SQUARE, x=[0, 5, 10], **TITLES).data[0].x) == [0, 5, 10]


@pytest.mark.parametrize(
    ("values", "more", "message"),
    [
        ([1.0, 2.0], {}, r"wanted values as a non-empty 2-D array; got shape \(2,\)"),
        (np.zeros((0, 3)), {}, r"wanted values as a non-empty 2-D array; got shape \(0, 3\)"),
        (SQUARE, {"x": ["a", "b"]}, "wanted cells and x labels of one length; got cells of 3, x labels of 2"),
        (SQUARE, {"log": True}, r"wanted values finite and above zero.*got 0.0 at 0, 0 \(1 of 9"),
        (
            SQUARE,
            {"log": True, "diverging": True},
            "wanted a diverging or a logarithmic colour scale; got both",
        ),
        ([[np.nan]], {}, r"wanted values finite, with NaN only for gaps; got nan at 0, 0 \(1 not finite\)"),
        (
            [[np.nan, 1.0]],
            {"mask_upper": True},
            "wanted a cell to draw; got only empty ones; use mask_upper=False",
        ),
        (SQUARE, {"limits": (1, 1)}, r"wanted limits \(low, high\) with low < high; got \(1, 1\)"),
        (SQUARE, {"limits": (0, 1), "diverging": True}, r"wanted limits \(-m, m\) for a diverging scale"),
        (SQUARE + 1, {"limits": (0, 1), "log": True}, "wanted limits above zero for a logarithmic scale"),
    ],
)
def test_what_cannot_be_drawn_is_refused(values: np.ndarray, more: dict, message: str):
    with pytest.raises(InputError, match=f"^{message}"):
        heatmap(values, **TITLES, **more)


def test_panels_share_one_scale_and_keep_their_order():
    panels = [("first", SQUARE), ("second", -SQUARE), ("third", SQUARE / 2)]
    figure = small_multiples(panels, columns=2, **TITLES)
    for trace, (name, values) in zip(figure.data, panels, strict=True):
        np.testing.assert_array_equal(trace.z, values)
        assert (trace.name, trace.coloraxis) == (name, "coloraxis")
    assert (figure.layout.coloraxis.cmin, figure.layout.coloraxis.cmax) == (-8, 8)
    written = [note.text for note in figure.layout.annotations]
    assert written == ["key", "query", "first", "second", "third"]


def box(layout: object, number: int) -> tuple[float, float, float, float]:
    key = "" if number == 0 else str(number + 1)
    x, y = layout[f"xaxis{key}"]["domain"], layout[f"yaxis{key}"]["domain"]
    return (*x, *y)


@pytest.mark.parametrize("count", [1, 2, 3, 5, 8])
def test_panels_fill_rows_from_the_top_left_without_overlap(count: int):
    panels = [(str(index), SQUARE) for index in range(count)]
    figure = small_multiples(panels, columns=3, **TITLES)
    layouts = [figure.layout, *(fit["layout"] for fit in figure.layout.meta["fits"])]
    for layout, columns in zip(layouts, [3, 2, 3, 3], strict=True):
        boxes = [box(layout, number) for number in range(count)]
        for number, (left, right, bottom, top) in enumerate(boxes):
            assert 0 <= left < right <= 1
            assert 0 <= bottom < top <= 1
            if number % columns:
                assert left > boxes[number - 1][1]
            if number >= columns:
                assert top < boxes[number - columns][2]
                assert left == boxes[number - columns][0]


@pytest.mark.parametrize("which", [0, 1, 2], ids=["phone", "tablet", "wide"])
def test_panels_are_square_and_leave_room_for_their_subtitles(which: int):
    subtitles = [
        "one line",
        "a subtitle that takes more than a single line of text",
        "third",
        "fourth",
        "fifth",
    ]
    figure = small_multiples([(subtitle, SQUARE) for subtitle in subtitles], **TITLES)
    fit = figure.layout.meta["fits"][which]
    margin = fit["layout"].get("margin", {"l": LEFT, "r": RIGHT, "b": BOTTOM})
    width = fit["width"] - margin["l"] - margin["r"]
    height = fit["height"] - TOP - margin["b"]
    above: dict[float, float] = {}
    for number in range(len(subtitles)):
        left, right, bottom, top = box(fit["layout"], number)
        assert (right - left) * width == pytest.approx((top - bottom) * height, abs=1)
        column_top = above.get(left, 1.0)
        axis = "x domain" if number == 0 else f"x{number + 1} domain"
        [text] = [note["text"] for note in fit["layout"]["annotations"] if note["xref"] == axis]
        assert (column_top - top) * height >= 15 * (text.count("<br>") + 1)
        above[left] = bottom


def test_a_phone_shows_two_columns():
    figure = small_multiples([(str(index), SQUARE) for index in range(4)], **TITLES)
    phone, *_, wide = figure.layout.meta["fits"]
    assert phone["below"] < 500
    assert len({box(phone["layout"], number)[0] for number in range(4)}) == 2
    assert len({box(wide["layout"], number)[0] for number in range(4)}) == 4
    assert wide["below"] is None


@pytest.mark.parametrize(
    ("panels", "message"),
    [
        ([], "wanted at least one panel and one column; got 0 panels in 4 columns"),
        ([("a", SQUARE), ("b", SQUARE[:2])], r"wanted panels of one shape; got \(2, 3\) and \(3, 3\)"),
    ],
)
def test_panels_that_do_not_fit_are_refused(panels: list, message: str):
    with pytest.raises(InputError, match=f"^{message}"):
        small_multiples(panels, **TITLES)
