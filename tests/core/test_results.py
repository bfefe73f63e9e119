from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import Any

import pytest
import torch

from unweave.core.errors import InputError
from unweave.core.results import Recheck, Result, t_quantile


def result(**fields: Any) -> Result:
    samples = torch.tensor([[[1.0, 3.0], [0.0, 4.0], [5.0, 5.0]], [[2.0, 2.0], [9.0, 1.0], [7.0, 8.0]]])
    given: dict[str, Any] = {
        "values": samples.mean(-1),
        "dims": ("layer", "head"),
        "coords": {"layer": (0, 3), "head": (0, 1, 2)},
        "unit": "nats",
        "per_sample": samples,
        "baselines": {"clean": torch.tensor([1.0, 2.0]), "random": torch.tensor([[1.0, 5.0], [0.0, 2.0]])},
        "provenance": {"metric": "Loss", "plan": {"patches": 6}},
        "approximate": True,
        "rechecks": (Recheck({"layer": 3, "head": 1}, 1.0, 2.0, "one of the largest"),),
        "warnings": ("look out",),
    }
    return Result(**{**given, **fields})


def test_effects_are_changes_from_the_clean_run():
    assert torch.equal(result().effect, torch.tensor([[0.5, 0.5, 3.5], [0.5, 3.5, 6.0]]))
    assert torch.equal(result().effect_per_sample[1, 1], torch.tensor([8.0, -1.0]))


def test_intervals_are_students():
    low, high = result().interval
    # Two samples 1 and 3: mean 2, s = sqrt(2), half = 12.706 * sqrt(2) / sqrt(2).
    assert low[0, 0].item() == pytest.approx(2 - 12.706)
    assert high[0, 0].item() == pytest.approx(2 + 12.706)
    assert low[0, 2].item() == high[0, 2].item() == 5.0
    one = result(per_sample=result().per_sample[..., :1])
    assert math.isnan(one.interval[0][0, 0].item())


@pytest.mark.parametrize(
    ("freedom", "wanted"), [(1, 12.706), (30, 2.042), (31, 2.0395), (60, 2.0003), (1000, 1.9623)]
)
def test_quantiles_of_t(freedom: int, wanted: float):
    assert t_quantile(freedom) == pytest.approx(wanted, abs=2e-4)


def test_beyond_random_is_beyond_every_draw():
    # Draws have means 3 and 1, the clean run 1.5: the largest change is 1.5.
    assert result().beyond_random.tolist() == [[False, False, True], [False, True, True]]


def test_selecting_by_label():
    one = result().sel(layer=3)
    assert one.dims == ("head",) and one.values.tolist() == [2.0, 5.0, 7.5]
    assert one.rechecks != () and result().sel(layer=0).rechecks == ()
    with pytest.raises(InputError, match=r"wanted a label among layer: \(0, 3\); got 1"):
        result().sel(layer=1)


def test_the_top_cells():
    assert result().top(2) == [({"layer": 3, "head": 2}, 6.0), ({"layer": 0, "head": 2}, 3.5)]


def test_saved_and_loaded_it_is_the_same(tmp_path: Path):
    path = tmp_path / "result.safetensors"
    result().save(path)
    again = Result.load(path)
    for name in ("dims", "coords", "unit", "provenance", "approximate", "rechecks", "warnings"):
        assert getattr(again, name) == getattr(result(), name), name
    assert torch.equal(again.values, result().values)
    assert again.per_sample is not None and torch.equal(again.effect_per_sample, result().effect_per_sample)
    assert {name: t.tolist() for name, t in again.baselines.items()} == {
        name: t.tolist() for name, t in result().baselines.items()
    }
    path.write_bytes(path.read_bytes()[:40])
    with pytest.raises(InputError, match="wanted a whole result in"):
        Result.load(path)


def test_a_frame_has_a_row_a_cell(monkeypatch: pytest.MonkeyPatch):
    pandas = pytest.importorskip("pandas")
    frame = result().to_frame()
    assert list(frame.columns) == ["layer", "head", "value", "effect", "low", "high"]
    assert frame.loc[4, ["layer", "head", "value"]].tolist() == [3, 1, 5.0]
    by_sample = result().to_frame(per_sample=True)
    assert len(by_sample) == 12
    assert by_sample.iloc[9].tolist()[:4] == [3, 1, 1, 1.0]
    assert isinstance(frame, pandas.DataFrame)


def test_without_pandas_it_says_so(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(
        InputError, match=r"wanted pandas, for to_frame; got none installed; pip install 'unweave\[frames\]'"
    ):
        result().to_frame()


def test_it_draws_itself_in_one_to_three_dimensions():
    assert result().plot().data[0].type == "heatmap"
    assert result().sel(layer=0).plot().data[0].type == "bar"
    cube = Result(
        torch.zeros(2, 1, 2),
        ("site", "layer", "pos"),
        {"site": ("a", "b"), "layer": (0,), "pos": (0, 1)},
        baselines={"clean": torch.zeros(1)},
    )
    assert len(cube.plot().data) == 2
    with pytest.raises(InputError, match="wanted a result of one to three dimensions"):
        cube.sel(site="a", layer=0, pos=1).plot()


def test_without_a_clean_run_it_shows_values():
    bare = Result(torch.tensor([1.0, 3.0]), ("layer",), {"layer": (0, 1)}, provenance={"metric": "accuracy"})
    assert list(bare.plot().data[0].x) == [1.0, 3.0]
    pytest.importorskip("pandas")
    assert list(bare.to_frame().columns) == ["layer", "value"]


def test_values_must_fit_their_labels():
    with pytest.raises(InputError, match=r"wanted values of the shape of their labels, \(2, 3\)"):
        result(values=torch.zeros(3, 2), per_sample=None)


def test_warnings_stand_in_its_repr():
    assert repr(result()) == "Result of Loss, approximate values (layer: 2, head: 3)\n  warning: look out"
