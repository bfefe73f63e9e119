"""Where gradients say nothing: saturated attention, and neurons that are off."""

from __future__ import annotations

import pytest
import torch

from tests.planted.loaded import exact
from unweave.core.edges import Edge, Node


def gradient(name: str, node: str, which: str) -> torch.Tensor:
    """Of class 1's logit at the contrast's position, by what the node writes, in the clean or corrupted run."""
    loaded = exact(name)
    contrast, hook = loaded.contrast, Node.parse(node).writes
    assert contrast is not None
    kept: list[torch.Tensor] = []

    def keep(value, hook):
        value.retain_grad()
        kept.append(value)

    tokens = {"clean": contrast.clean, "corrupted": contrast.corrupted}[which]
    logits = loaded.model.run_with_hooks(tokens, fwd_hooks=[(hook, keep)])
    logits[0, contrast.position, 1].backward()
    loaded.model.zero_grad()
    assert kept[0].grad is not None
    # The coordinate that this head writes: beyond it the logits read the stream directly.
    [own] = [at for at, name in enumerate(loaded.basis) if name == f"seen_{1 + (node == 'a0.h1')}:1"]
    return kept[0].grad[:, :, Node.parse(node).head, own]


@pytest.mark.parametrize("node", ["a0.h0", "a0.h1"])
def test_the_gradient_of_the_and_is_zero_where_both_paths_are_off(node: str):
    # Each head alone changes nothing there, and so far the gradient is right; it also says that both don't.
    assert gradient("and", node, "corrupted").abs().max() == 0
    assert gradient("and", node, "clean").abs().max() == 10


def test_the_gradient_of_queries_vanishes_in_saturated_attention():
    loaded = exact("induction")
    assert loaded.contrast is not None
    kept: list[torch.Tensor] = []

    def keep(value, hook):
        value.retain_grad()
        kept.append(value)

    logits = loaded.model.run_with_hooks(loaded.contrast.clean, fwd_hooks=[("blocks.1.attn.hook_q", keep)])
    logits[0, loaded.contrast.position, 2].backward()
    loaded.model.zero_grad()
    assert kept[0].grad is not None
    # Scores are 100 and more apart, and yet another query would fetch another token.
    assert kept[0].grad.abs().max() < 1e-12


@pytest.mark.parametrize(
    "text", ["a0.h0->a1.h0<k>", "embed->a1.h0<v>", "pos_embed->a0.h0<q>", "a1.h0->logits"]
)
def test_an_edge_s_hooks_are_where_it_can_be_cut(text: str):
    """With the hooks that the edge names: what its sender writes is taken out where its receiver reads."""
    from tests.planted import by_hand

    loaded, edge = exact("induction"), Edge.parse(text)
    tokens = loaded.inputs()[::37]
    _, sent = by_hand.run(loaded.model, tokens)
    wanted, _ = by_hand.run(loaded.model, tokens, {edge: torch.zeros_like(sent[edge.sender])})
    _, cache = loaded.model.run_with_cache(tokens, names_filter=edge.sender.writes)
    carried = cache[edge.sender.writes]
    carried = carried if edge.sender.head is None else carried[:, :, edge.sender.head]

    def cut(value, hook):
        if edge.receiver.head is None:
            return value - carried
        value = value.clone()
        value[:, :, edge.receiver.head] -= carried
        return value

    got = loaded.model.run_with_hooks(tokens, fwd_hooks=[(edge.reads, cut)])
    torch.testing.assert_close(got, wanted, rtol=0, atol=1e-9)
    assert (got - loaded.model(tokens)).abs().max() > 1
