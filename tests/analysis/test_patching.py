"""`unweave.patching`, against TransformerLens 3.9.0's numbers and the loop that its names promise."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import pandas
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from bench.parity.compare import our_model
from bench.parity.freeze import FOLDER, thaw
from bench.parity.patched import CASES, FUNCTIONS, measured, other_tokens
from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave import HookedTransformer, LogitDifference, patching
from unweave.core.errors import HookError, InputError

THEIRS = load_file(Path(__file__).parent / "parity" / "patching.safetensors")
TOKENS = small_tokens()
OTHER = other_tokens(TOKENS, 11)


def opened(case: str) -> tuple[HookedTransformer, Tensor, Any]:
    config, given, _ = thaw(FOLDER / f"{case}.safetensors")
    tokens = given.pop("tokens")
    model = our_model(config)
    model.load_state_dict(given)
    return model, other_tokens(tokens, config["d_vocab"]), model.run_with_cache(tokens)[1]


@pytest.mark.parametrize("case", CASES)
def test_every_function_gives_transformerlens_numbers(case: str):
    given = (*opened(case), measured)
    compared = 0
    for name in CASES[case]:
        theirs = THEIRS[f"{case} {name}"]
        assert_equal_to(1e-5, getattr(patching, name)(*given), theirs, name)
        # The patches differ, so that one in the place of another would show.
        assert theirs.flatten().unique().numel() > theirs.numel() / 4, name
        compared += 1
    assert compared == len([key for key in THEIRS if key.startswith(f"{case} ")]) > 0


def test_transformerlens_functions_are_all_there():
    assert {f"plain {name}" for name in FUNCTIONS} <= set(THEIRS)
    assert len(FUNCTIONS) == 18
    assert {name for name in dir(patching) if name.startswith("get_act_patch")} == set(FUNCTIONS)


def test_a_patch_in_the_wrong_direction_is_noticed():
    model, corrupted, cache = opened("plain")
    theirs = THEIRS["plain get_act_patch_attn_head_k_by_pos"]
    ours = patching.get_act_patch_attn_head_k_by_pos(model, corrupted, cache, measured)
    queries = patching.get_act_patch_attn_head_q_by_pos(model, corrupted, cache, measured)
    flipped = patching.get_act_patch_attn_head_k_by_pos(
        model, other_tokens(corrupted, 7), model.run_with_cache(corrupted)[1], measured
    )
    for wrong in (queries, ours.flip(0), ours.flip(1), ours.flip(2), flipped):
        with pytest.raises(AssertionError):
            assert_equal_to(1e-5, wrong, theirs)


@pytest.fixture
def model() -> HookedTransformer:
    return small_model(dtype="float64", positional_embedding_type="standard", act_fn="gelu")


def loop(model: HookedTransformer, metric: Any, setter: Any, activation: str, rows: Any) -> Tensor:
    """One full run a patch, as the names say."""
    clean = model.run_with_cache(TOKENS)[1]
    found = []
    for row in rows:
        name = f"blocks.{row[0]}.{activation}"

        def patch(tensor: Tensor, hook: Any, row: Any = row, name: str = name) -> Tensor:
            return setter(tensor.clone(), row, clean[name])

        with torch.no_grad():
            logits = model.run_with_hooks(OTHER, fwd_hooks=[(name, patch)])
            found.append(torch.as_tensor(metric(logits)).double().mean())
    return torch.stack(found)


@pytest.mark.parametrize(
    ("setter", "activation", "site", "ends"),
    [
        ("layer_pos_patch_setter", "hook_mlp_out", "mlp_out", (2, 7)),
        ("layer_pos_patch_setter", "attn.hook_z", "z", (2, 7)),
        ("layer_pos_head_vector_patch_setter", "attn.hook_v", "v", (2, 7, 2)),
        ("layer_head_vector_patch_setter", "attn.hook_q", "q", (2, 2)),
        ("layer_head_pattern_patch_setter", "attn.hook_attn_scores", "attn_scores", (2, 2)),
        ("layer_head_pos_pattern_patch_setter", "attn.hook_pattern", "pattern", (2, 2, 7)),
        ("layer_head_dest_src_pos_pattern_patch_setter", "attn.hook_pattern", "pattern", (1, 2, 7, 7)),
    ],
)
def test_every_setter_is_the_loop_planned_or_called(
    model: HookedTransformer, setter: str, activation: str, site: str, ends: tuple[int, ...]
):
    function = getattr(patching, setter)
    rows = list(itertools.product(*map(range, ends)))
    wanted = loop(model, measured, function, activation, rows)
    table = patching.make_df_from_ranges(ends, ["layer", *"abc"[: len(ends) - 1]])
    cache = model.run_with_cache(TOKENS)[1]
    for chosen in (function, lambda *given: function(*given)):
        found = patching.generic_activation_patch(model, OTHER, cache, measured, chosen, site, index_df=table)
        assert_equal_to(1e-10, found, wanted, setter)


def test_a_setter_of_the_users_own(model: HookedTransformer):
    def half(corrupted: Tensor, index: Any, clean: Tensor) -> Tensor:
        _, pos = index
        corrupted[:, pos] = (corrupted[:, pos] + clean[:, pos]) / 2
        return corrupted

    cache = model.run_with_cache(TOKENS)[1]
    found, table = patching.generic_activation_patch(
        model, OTHER, cache, measured, half, "resid_pre", ("layer", "pos"), return_index_df=True
    )
    rows = list(itertools.product(range(2), range(7)))
    assert table.columns.tolist() == ["layer", "pos"]
    assert [tuple(row) for row in table.to_numpy().tolist()] == rows
    assert found.shape == (2, 7)
    assert_equal_to(1e-10, found.flatten(), loop(model, measured, half, "hook_resid_pre", rows))


def test_rows_of_a_table_in_any_order_and_from_the_end(model: HookedTransformer):
    cache = model.run_with_cache(TOKENS)[1]
    table = pandas.DataFrame({"layer": [1, 0], "pos": [-1, 2]})
    found, back = patching.get_act_patch_resid_pre(
        model, OTHER, cache, measured, index_axis_names=None, index_df=table, return_index_df=True
    )
    whole = patching.get_act_patch_resid_pre(model, OTHER, cache, measured)
    assert back is table
    assert_equal_to(1e-12, found, torch.stack([whole[1, 6], whole[0, 2]]))


@pytest.mark.parametrize(
    "metric",
    [
        lambda logits: logits[:, -1, 3].mean().item(),
        lambda logits: logits[:1, -1, 3] - logits[:1, -1, 4],
        lambda logits: (logits.argmax(-1) == TOKENS).sum(),
        lambda logits: logits[:, 2, 3] * logits[:, 0, 1],
    ],
    ids=["a float", "one in a shape", "a count", "one a sample"],
)
def test_metrics_in_any_form(model: HookedTransformer, metric: Any):
    cache = model.run_with_cache(TOKENS)[1]
    rows = list(itertools.product(range(2), range(7)))
    wanted = loop(model, metric, patching.layer_pos_patch_setter, "hook_attn_out", rows)
    found = patching.get_act_patch_attn_out(model, OTHER, cache, metric)
    assert_equal_to(1e-10, found.flatten(), wanted)


def test_a_metric_that_says_where_it_reads_gives_the_same(model: HookedTransformer):
    cache = model.run_with_cache(TOKENS)[1]
    opaque = patching.get_act_patch_block_every(
        model, OTHER, cache, lambda logits: (logits[:, -1, 3] - logits[:, -1, 4]).mean()
    )
    told = patching.get_act_patch_block_every(model, OTHER, cache, LogitDifference(3, 4))
    assert told.shape == (3, 2, 7)
    assert_equal_to(1e-10, told, opaque)


def test_the_metric_is_called_on_the_logits_of_each_patch(model: HookedTransformer):
    seen: list[Tensor] = []

    def metric(logits: Tensor) -> Tensor:
        seen.append(logits.clone())
        return logits[0, -1, 0]

    patching.get_act_patch_resid_pre(model, OTHER, model.run_with_cache(TOKENS)[1], metric)
    # The run without patches, and fourteen others.
    assert len(seen) == 15
    assert {tuple(logits.shape) for logits in seen} == {(3, 7, 11)}
    assert_equal_to(1e-12, seen[0], model(OTHER))
    assert not any(logits.requires_grad for logits in seen)


@pytest.mark.parametrize(
    ("change", "wording"),
    [
        ({"clean_cache": {}}, "wanted a cache that holds blocks.0.attn.hook_pattern"),
        ({"patch_setter": patching.layer_pos_patch_setter}, r"wanted an activation \[batch, pos, ...\]"),
        ({"activation_name": "z"}, "wanted scores or a pattern"),
        ({"activation_name": "patern"}, "nearest: pattern"),
        ({"index_axis_names": ("layer", "heads")}, "wanted axes among layer, pos"),
        ({"index_axis_names": ("layer",)}, "wanted indices layer, head"),
        ({"index_axis_names": None}, "wanted either index_axis_names or index_df; got neither"),
        ({"corrupted_tokens": OTHER[:, :5]}, "wanted a source of 5 positions"),
        ({"corrupted_tokens": TOKENS}, "wanted patches that change something"),
        ({"patching_metric": lambda logits: logits}, "wanted a number, or one for each of 3 samples"),
    ],
)
def test_what_is_refused(model: HookedTransformer, change: dict[str, Any], wording: str):
    given = {
        "corrupted_tokens": OTHER,
        "clean_cache": model.run_with_cache(TOKENS)[1],
        "patching_metric": measured,
        "patch_setter": patching.layer_head_pattern_patch_setter,
        "activation_name": "pattern",
        "index_axis_names": ("layer", "head"),
        **change,
    }
    with pytest.raises(InputError, match=wording):
        patching.generic_activation_patch(model, **given)


def test_an_activation_that_the_model_lacks():
    model = small_model(attn_only=True)
    with pytest.raises(HookError, match="resid_mid"):
        patching.get_act_patch_resid_mid(model, OTHER, model.run_with_cache(TOKENS)[1], measured)
