"""A grid as a value: what it runs, what it refuses, how large it is."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.grids.small import values
from unweave.core.errors import InputError
from unweave.training.grids import EXAMPLE, Grid, Size
from unweave.training.run_file import RunConfig


def with_axes(**changes: Any) -> dict[str, Any]:
    return {**values(), **changes}


def test_every_combination_once_a_seed_in_reading_order():
    grid = Grid.from_dict(values())
    found = [
        (m.labels, m.seed, m.config.training.lr, m.config.training.seed, m.config.model.seed)
        for m in grid.members
    ]
    assert found == [
        ({"training.lr": 0.01}, 0, 0.01, 0, 0),
        ({"training.lr": 0.01}, 1, 0.01, 1, 1),
        ({"training.lr": 0.02}, 0, 0.02, 0, 0),
        ({"training.lr": 0.02}, 1, 0.02, 1, 1),
    ]
    assert [m.told for m in grid.members][1] == "lr 0.01, seed 1"
    # What is left out of the base has the defaults that `unweave train` gives it.
    alone = RunConfig.from_dict(values()["base"])
    assert grid.members[0].config.training.weight_decay == alone.training.weight_decay


def test_named_settings_vary_fields_together_and_reach_into_what_the_base_leaves_out():
    axes = {
        "warmup": {
            "short": {"training.schedule.steps": 3},
            "none": {"training.schedule": {"name": "Constant"}, "training.max_grad_norm": None},
        }
    }
    short, none = Grid.from_dict(with_axes(axes=axes, seeds=[])).members
    # The base names no schedule: its default is a warmup, of which the axis changes one number.
    assert short.config.to_dict()["training"]["schedule"] == {"name": "LinearWarmup", "steps": 3}
    assert none.config.to_dict()["training"]["schedule"] == {"name": "Constant", "value": 1.0}
    assert (short.labels, none.labels) == ({"warmup": "short"}, {"warmup": "none"})
    assert (short.config.training.max_grad_norm, none.config.training.max_grad_norm) == (1.0, None)


def test_a_run_is_recognised_by_every_field_and_by_nothing_else():
    name = Grid.from_dict(values()).members[0].name
    again = Grid.from_dict(json.loads(json.dumps(values()))).members[0].name
    written_out = {**values(), "base": RunConfig.from_dict(values()["base"]).to_dict()}
    assert name == again == Grid.from_dict(written_out).members[0].name
    # A grid that has grown, in another order, names its old runs as before.
    grown = Grid.from_dict(with_axes(axes={"training.lr": [0.5, 0.01]}, seeds=[7, 0]))
    assert name == next(m.name for m in grown.members if m.labels["training.lr"] == 0.01 and m.seed == 0)
    assert name != Grid.from_dict(values(weight_decay=0.2)).members[0].name
    assert len({m.name for m in Grid.from_dict(values()).members}) == 4


@pytest.mark.parametrize(
    ("given", "sentence"),
    [
        ({"axis": {}}, "wanted a table with base, axes, seeds; got 'axis'; nearest: axes"),
        ({"base": None}, "wanted a table for 'base': task, model and training; got None"),
        ({"seeds": 3}, "wanted a list of whole numbers for 'seeds'; got 3; \"seeds\": [0, 1, 2]"),
        ({"seeds": [1, 1]}, "wanted runs that differ; got the same config at (lr 0.01, seed 1)"),
        ({"axes": {"model.seed": [1]}}, "wanted seeds, or an axis of seeds; got both seeds and model.seed"),
    ],
)
def test_a_table_that_is_no_grid_is_refused(given: dict[str, Any], sentence: str):
    with pytest.raises(InputError) as raised:
        Grid.from_dict({**values(), **given})
    assert str(raised.value).startswith(sentence)


NO_LIST = (
    "wanted for the axis {!r}, a list of values, or a table of named settings, each a table of fields; got "
)
NO_PATH = "wanted the dotted path of a field, such as training.lr or training.schedule.steps, for {!r}; got "


@pytest.mark.parametrize(
    ("name", "of", "sentence"),
    [
        ("training.lrr", [1], "wanted a field of TrainConfig; got 'lrr' (at training.lrr=1); nearest: lr"),
        ("trainig.lr", [1], NO_PATH.format("trainig.lr") + "'trainig', which is no table (at trainig.lr=1); nearest: "),
        ("training.lr.x", [1], NO_PATH.format("training.lr.x") + "'lr', which is no table (at training.lr.x=1); "),
        ("model.n_layer", [1], "wanted a field of HookedTransformerConfig; got 'n_layer' (at model.n_layer=1); nearest: "),
        ("training.schedule.step", [1], "wanted a field of LinearWarmup: steps; got 'step' (at training.schedule.step=1); "),
        ("training.lr", [0.1, -1.0], "wanted a number above 0 for lr; got -1.0 (at training.lr=-1.0); set lr in TrainConfig"),
        ("model.d_vocab", [9], "wanted a model with d_vocab = d_vocab_out = 6 and n_ctx >= 5; got d_vocab 9"),
        ("training.lr", 0.1, NO_LIST.format("training.lr") + "0.1"),
        ("training.lr", [], NO_LIST.format("training.lr") + "[]"),
        ("lr", {"low": 0.1}, NO_LIST.format("lr")),
        ("loss", {"a": {"training.lr": 1}}, "wanted an axis with a name that no column of the results has; got 'loss'"),
        ("training.lr", [0.1, 0.1], "wanted runs that differ; got the same config at (lr 0.1, seed 0) and at (lr 0.1, "),
    ],
)  # fmt: skip
def test_an_axis_that_does_not_fit_is_refused_with_the_near_miss(name: str, of: Any, sentence: str):
    with pytest.raises(InputError) as raised:
        Grid.from_dict({**values(), "axes": {name: of}})
    assert str(raised.value).startswith(sentence)


def test_its_size_is_counted_by_hand():
    size = Size.of(Grid.from_dict(values()).members)
    # Embedding 6*8, positions 5*8, Q K V O 4*(8*8), their biases 3*8+8, MLP 8*32+32+32*8+8, unembedding 8*6+6,
    # and three layer norms of 2*8.
    n = 48 + 40 + 256 + 32 + 552 + 54 + 48
    assert size.parameters == (n, n)
    assert (size.runs, size.steps, size.tokens) == (4, 24, 24 * 4 * 5)
    assert size.flops == 6.0 * 24 * 4 * 5 * n
    # Checkpoints after 5 and 6 steps, each weights and two moments, and the model at the end.
    assert size.disk == 4 * 4 * n * (2 * 3 + 1)
    assert str(size).startswith(f"4 runs of {n:,} parameters, 24 steps and 480 tokens in all, about ")


def test_the_example_is_a_whole_grid_and_a_base_may_be_a_file(tmp_path: Path):
    grid = Grid.from_dict(EXAMPLE)
    assert len(grid.members) == 2 * 2 * 2 * 3
    assert Grid.from_dict(json.loads(json.dumps(grid.to_dict()))).members == grid.members
    (tmp_path / "config.json").write_text(json.dumps(EXAMPLE["base"]))
    (tmp_path / "grid.json").write_text(json.dumps({**EXAMPLE, "base": "config.json"}))
    assert Grid.read(tmp_path / "grid.json").members == grid.members
