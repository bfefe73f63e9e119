"""What the door warns of, where Unweave refuses; and the defaults and first weights that are 3.9's."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

import unweave
from unweave.compat import CompatWarning
from unweave.compat.transformer_lens import ActivationCache, HookedTransformer, HookedTransformerConfig
from unweave.compat.transformer_lens.hook_points import HookedRootModule, HookPoint
from unweave.core.errors import HookError, InputError
from unweave.model.weights import fold_layer_norm

TOKENS = torch.tensor([[0, 3, 1, 2], [4, 4, 0, 1]])
SIZES: dict[str, Any] = {
    "n_layers": 1,
    "d_model": 8,
    "n_ctx": 4,
    "d_head": 4,
    "n_heads": 2,
    "d_mlp": 12,
    "d_vocab": 5,
    "seed": 3,
    "device": "cpu",
}


def model(**fields: Any) -> HookedTransformer:
    return HookedTransformer(HookedTransformerConfig(**{**SIZES, **fields}))


def strict() -> unweave.HookedTransformer:
    return unweave.HookedTransformer(unweave.HookedTransformerConfig(**SIZES, act_fn="relu"))


def unchanged(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
    return tensor


def narrower(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
    return tensor[:, :1]


def test_a_seed_gives_the_weights_that_3_9_draws():
    # TransformerLens 3.9.0, HookedTransformerConfig(**SIZES, act_fn="relu").
    drawn = model()
    wanted_embed = [-0.02167828008532524, 0.10178986936807632, -0.2211877703666687]
    assert drawn.W_E[0, :3].tolist() == pytest.approx(wanted_embed, rel=1e-6)
    assert drawn.blocks[0].attn.W_O[0, 0, :2].tolist() == pytest.approx(
        [0.3007683753967285, -0.8745865821838379], rel=1e-6
    )
    # Unweave's own order of drawing gives another W_O.
    assert abs(strict().blocks[0].attn.W_O[0, 0, 0].item() - 0.3007683753967285) > 1e-3
    grouped = model(gated_mlp=True, n_key_value_heads=1, positional_embedding_type="rotary")
    assert grouped.blocks[0].attn.W_O[0, 0, 0].item() == pytest.approx(-0.3374561071395874, rel=1e-6)


def test_a_seed_seeds_everything_once():
    model()
    torch.manual_seed(99)
    random.seed(99)
    np.random.seed(99)  # noqa: NPY002
    wanted = torch.rand(1), random.random(), np.random.rand()  # noqa: NPY002
    HookedTransformerConfig(**{**SIZES, "seed": 99})
    assert (torch.rand(1), random.random(), np.random.rand()) == wanted  # noqa: NPY002
    HookedTransformerConfig(**{**SIZES, "seed": 99}).replaced(n_ctx=3)
    assert torch.rand(1) == wanted[0]


def test_defaults_are_those_of_3_9():
    cfg = HookedTransformerConfig(d_model=8, d_head=4, n_layers=1, n_ctx=3, d_vocab=5)
    assert cfg.act_fn == "relu" and cfg.dtype is torch.float32 and cfg.default_prepend_bos
    assert cfg.n_params == 4 * 8 * 8 + 2 * 8 * 32
    made = HookedTransformer(cfg)
    assert made.cfg is cfg and isinstance(made, unweave.HookedTransformer | HookedRootModule)
    cfg.use_attn_result = True
    assert "blocks.0.attn.hook_result" in made.run_with_cache(TOKENS[:, :3])[1]
    assert HookedTransformer({**SIZES, "n_ctx": 2}).cfg.n_ctx == 2
    assert isinstance(made.run_with_cache(TOKENS[:, :3])[1], ActivationCache)


@pytest.mark.parametrize(
    ("call", "words"),
    [
        (lambda m: m.run_with_hooks(TOKENS, fwd_hooks=[(lambda name: False, unchanged)]), "matches none"),
        (lambda m: m.add_hook(lambda name: False, unchanged), "matches none"),
        (lambda m: m.run_with_cache(TOKENS, names_filter=["hook_embed", "nope"]), "got 'nope'"),
        (lambda m: m.run_with_cache(TOKENS, names_filter="nope"), "got 'nope'"),
        (
            lambda m: m.run_with_hooks(TOKENS, fwd_hooks=[("ln_final.hook_scale", narrower)]),
            r"wanted shape \(2, 4, 1\)",
        ),
        (lambda m: with_block(m), "every hook to fire at least once"),
        (
            lambda m: m.run_with_hooks(TOKENS, bwd_hooks=[("hook_embed", unchanged)]),
            "gone before any backward",
        ),
        (lambda m: setattr(m.cfg, "window_size", 3), "window_size=3 alone"),
        (lambda m: m.generate(TOKENS[:, :2], 1, stop_at_eos=False, streamer=None, verbose=False), "streamer"),
    ],
)
def test_a_warning_where_unweave_refuses(call: Callable[[HookedTransformer], object], words: str):
    with pytest.warns(CompatWarning, match=words):
        call(model())


def with_block(opened: HookedTransformer) -> None:
    with opened.hooks([("hook_embed", unchanged)]):
        pass


def test_what_the_warning_leaves_behind():
    made = model()
    with pytest.warns(CompatWarning):
        logits = made.run_with_hooks(TOKENS, fwd_hooks=[("ln_final.hook_scale", narrower)])
    assert logits.shape == (2, 4, 5) and not torch.equal(logits, made(TOKENS))
    with pytest.warns(CompatWarning):
        _, cache = made.run_with_cache(TOKENS, names_filter=["hook_embed", "nope"])
    assert list(cache) == ["hook_embed"]
    assert all(not point.active for point in made.hook_points())


def test_unweave_itself_still_refuses():
    with pytest.raises(HookError, match="matches none"):
        strict().run_with_hooks(TOKENS, fwd_hooks=[(lambda name: False, unchanged)])
    with pytest.raises(HookError, match=r"wanted shape \(2, 4, 8\)"):
        strict().run_with_hooks(TOKENS, fwd_hooks=[("hook_embed", narrower)])
    with pytest.raises(HookError, match="got 'nope'"):
        model().run_with_hooks(TOKENS, fwd_hooks=[("nope", unchanged)])


def test_parts_that_do_not_sum_are_returned_with_a_warning():
    def doubled(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
        return 2 * tensor

    made = model()
    with made.hooks([("blocks.0.hook_resid_mid", doubled)]):
        _, cache = made.run_with_cache(TOKENS)
    with pytest.warns(CompatWarning, match="that sum to the residual stream"):
        stack = cache.decompose_resid()
    assert stack.shape == (4, 2, 4, 8)


def test_fields_that_do_nothing_warn_and_those_that_would_are_refused():
    with pytest.warns(CompatWarning, match="window_size=4 alone.*it has no effect"):
        cfg = HookedTransformerConfig(**SIZES, window_size=4)
    assert cfg.window_size == 4 and HookedTransformer(cfg)(TOKENS).shape == (2, 4, 5)
    kept = HookedTransformerConfig(**SIZES, original_architecture="GPT2LMHeadModel", n_devices=1)
    assert kept.original_architecture == "GPT2LMHeadModel" and kept.to_dict()["n_devices"] == 1
    with pytest.raises(InputError, match=r"wanted use_attention_sinks=False; got True"):
        HookedTransformerConfig(**SIZES, use_attention_sinks=True)
    with pytest.raises(TypeError, match="n_layerz"):
        HookedTransformerConfig(**SIZES, n_layerz=1)


def test_weights_are_processed_in_place():
    made = model()
    torch.manual_seed(0)
    for name, weight in made.named_parameters():
        if name.endswith(("ln1.w", "ln1.b")):
            weight.data.normal_()
    seen: list[str] = []
    made.add_hook("blocks.0.hook_resid_mid", lambda tensor, *, hook: seen.append(hook.name))
    before, embed, cfg = made(TOKENS).log_softmax(-1), made.embed.W_E, made.cfg
    folded = made.fold_layer_norm(made.state_dict())
    wanted = fold_layer_norm(made).state_dict()
    assert folded.keys() == wanted.keys() and all(torch.equal(folded[n], wanted[n]) for n in wanted)
    made.process_weights_()
    assert made.cfg is cfg and cfg.normalization_type == "LNPre" and made.embed.W_E is embed
    assert (made(TOKENS).log_softmax(-1) - before).abs().max() < 1e-5
    assert len(seen) == 2 and "blocks.0.ln1.w" not in made.state_dict()


def test_a_model_has_a_hook_on_its_tokens_if_it_is_asked_for():
    def other(tokens: Tensor, /, *, hook: HookPoint) -> Tensor:
        return torch.zeros_like(tokens)

    made = model(use_hook_tokens=True)
    assert torch.equal(
        made.run_with_hooks(TOKENS, fwd_hooks=[("hook_tokens", other)]), made(torch.zeros_like(TOKENS))
    )
    assert "hook_tokens" not in model().hook_dict


def test_an_unweave_model_goes_through_the_door():
    own = strict()
    given = HookedTransformer.of(own)
    assert torch.equal(given(TOKENS), own(TOKENS)) and type(given) is HookedTransformer
    assert HookedTransformer.of(given) is given and given.W_E.data_ptr() == own.W_E.data_ptr()


def test_every_module_knows_its_path():
    made = model()
    assert made.blocks[0].ln1.name == "blocks.0.ln1" and made.hook_embed.name == "hook_embed"
