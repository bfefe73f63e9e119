"""Edits of many patches that are put in place at once give what each of them gives alone."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave import HookedTransformer, LogitDifference, Site, intervene, sweep
from unweave.engine import Interchange, Intervention, stacks
from unweave.engine.edits import Watch
from unweave.engine.stacks import Stack

TOKENS = small_tokens()
OTHER = (TOKENS + 1 + torch.arange(7)) % 11
RIGHT, WRONG = TOKENS[:, 0], OTHER[:, 0]
METRIC = LogitDifference(RIGHT, WRONG)


@pytest.fixture
def model() -> HookedTransformer:
    return small_model(n_layers=3, dtype="float64", positional_embedding_type="standard")


def measured(logits: Tensor) -> Tensor:
    rows = torch.arange(len(TOKENS))
    return logits[rows, -1, RIGHT] - logits[rows, -1, WRONG]


def one_by_one(model: HookedTransformer, patches: Sequence[Any]) -> Tensor:
    with torch.no_grad():
        return torch.stack([measured(intervene(model, TOKENS, patch).logits) for patch in patches])


def together(model: HookedTransformer, patches: Sequence[Any]) -> Tensor:
    found = sweep(model, TOKENS, list(patches), metric=METRIC, controls=0).per_sample
    assert found is not None
    return found


def mixed() -> list[Any]:
    """Blocks of several shapes, per-sample positions, values of each kind, and several edits a patch."""
    resid, vector = Site("resid_pre", 1), torch.linspace(-1, 1, small_model().cfg.d_model)
    there, further = Interchange(OTHER), Interchange(OTHER, pos=3)
    own = torch.tensor([0, 3, 5])
    return [
        Intervention(resid.at(pos=2), there),
        Intervention(resid.at(pos=5), there),
        Intervention(resid.at(pos=4), further),
        Intervention(resid.at(pos=6), further),
        Intervention(resid.at(pos=own), there),
        resid.at(pos=1).set(0.5),
        resid.at(pos=3, neuron=slice(1, 4)).zero(),
        resid.at(pos=4, neuron=slice(3, 6)).zero(),
        resid.at(pos=2).add(vector),
        resid.at(pos=3).add(torch.stack([vector, 2 * vector, -vector])[:, None]),
        [resid.at(pos=1).add(vector), Intervention(resid.at(pos=1), there)],
        [Intervention(resid.at(pos=1), there), resid.at(pos=1).add(vector)],
        Intervention(resid.at(pos=5, direction=vector), there),
        Intervention(resid.at(pos=6, direction=vector), there),
    ]


def test_mixed_patches_are_what_each_is_alone(model: HookedTransformer):
    patches = mixed()
    assert_equal_to(1e-10, together(model, patches), one_by_one(model, patches))


def test_many_go_in_at_once(model: HookedTransformer, monkeypatch: pytest.MonkeyPatch):
    sizes: list[int] = []
    apply = Stack.apply

    def counted(stack: Stack, by_patch: Tensor, samples: slice, watch: Watch) -> None:
        sizes.append(len(stack.numbers))
        apply(stack, by_patch, samples, watch)

    monkeypatch.setattr(Stack, "apply", counted)
    together(model, [Site("z", layer, head=0, pos=pos).zero() for layer in (0, 1) for pos in range(7)])
    # One batch begins in layer 0, and grows in layer 1.
    assert sizes == [7, 7]


def test_an_index_that_forgets_where_a_block_begins_is_found(
    model: HookedTransformer, monkeypatch: pytest.MonkeyPatch
):
    # The mistake: blocks of one shape taken for one and the same block.
    right = stacks._places

    def mistaken(blocks: Any, n_samples: int, device: torch.device) -> Any:
        return right([blocks[0]] * len(blocks), n_samples, device)

    there = Interchange(OTHER)
    patches = [Intervention(Site("resid_pre", 1, pos=pos), there) for pos in range(7)]
    wanted = one_by_one(model, patches)
    monkeypatch.setattr(stacks, "_places", mistaken)
    assert not torch.allclose(together(model, patches), wanted)


def test_edits_of_one_patch_keep_their_order(model: HookedTransformer):
    site = Site("resid_pre", 1, pos=2)
    first, second = site.add(torch.linspace(-1, 1, model.cfg.d_model)), site.interchange(OTHER)
    found = together(model, [[first, second], [second, first], [second]])
    assert_equal_to(1e-10, found[0], found[2])
    assert not torch.allclose(found[1], found[2])


def test_a_function_before_the_last_layer_acts_where_only_one_position_is_read(model: HookedTransformer):
    patches = [Site("resid_pre", 2, pos=3).apply(lambda part: 2 * part), Site("resid_pre", 2, pos=3).zero()]
    assert_equal_to(1e-10, together(model, patches), one_by_one(model, patches))


@pytest.mark.parametrize("name", ["q", "k_input", "normalized", "pattern", "z", "mlp_out", "resid_post"])
@pytest.mark.parametrize("layer", [1, 2])
def test_a_patch_of_the_stream_beside_one_within_the_layer(model: HookedTransformer, name: str, layer: int):
    full = f"blocks.{layer}.ln1.hook_normalized" if name == "normalized" else name
    inner = Site(full, None if name == "normalized" else layer, pos=4).zero()
    stream = [Site("resid_pre", layer, pos=pos).interchange(OTHER) for pos in (1, 3)]
    patches = [[one, inner] for one in stream]
    assert_equal_to(1e-10, together(model, patches), one_by_one(model, patches))
