"""Every step, alone and together, over a grid of configs: log-probabilities stay, the old model too."""

from __future__ import annotations

import itertools
from collections.abc import Callable

import pytest
import torch
from torch import Tensor

from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.core.errors import InputError
from unweave.model.transformer import HookedTransformer
from unweave.model.weights import (
    center_unembed,
    center_writing_weights,
    fold_layer_norm,
    fold_value_biases,
    process_weights,
    refactor_factored_attn_matrices,
)

STEPS: dict[str, Callable[[HookedTransformer], HookedTransformer]] = {
    "fold_ln": fold_layer_norm,
    "center_writing_weights": center_writing_weights,
    "center_unembed": center_unembed,
    "fold_value_biases": fold_value_biases,
    "refactor_factored_attn_matrices": refactor_factored_attn_matrices,
}
NORMS = ("LN", "LNPre", "RMS", "RMSPre", None)
VALID = {"fold_ln": ("LN", "RMS"), "center_writing_weights": ("LN", "LNPre")}
GRID = [
    {"normalization_type": norm, "positional_embedding_type": positions, "attn_only": attn_only}
    for norm, positions, attn_only in itertools.product(
        NORMS, ("none", "standard", "sinusoidal"), (False, True)
    )
]


def log_probs(model: HookedTransformer) -> Tensor:
    return model(small_tokens()).detach().log_softmax(-1)


def valid_steps(norm: str | None) -> list[str]:
    return [name for name in STEPS if norm in VALID.get(name, NORMS)]


@pytest.mark.parametrize(("dtype", "part"), [("float64", 1e-10), ("float32", 1e-5)])
@pytest.mark.parametrize("fields", GRID, ids=lambda fields: "-".join(map(str, fields.values())))
def test_each_step_and_all_together(fields: dict, dtype: str, part: float):
    model = small_model(**fields, n_heads=2, dtype=dtype)
    wanted, before = log_probs(model), {name: t.clone() for name, t in model.state_dict().items()}
    valid = valid_steps(fields["normalization_type"])
    changed = [STEPS[name](model) for name in valid]
    changed.append(process_weights(model, **{name: name in valid for name in STEPS}))
    for new in changed:
        assert new is not model
        assert new.cfg.dtype == dtype
        assert_equal_to(part, log_probs(new), wanted)
        assert any(
            name not in before or not torch.equal(weight, before[name])
            for name, weight in new.state_dict().items()
        ), "a step that changes nothing would pass"
    assert model.state_dict().keys() == before.keys()
    assert all(torch.equal(weight, before[name]) for name, weight in model.state_dict().items())
    assert model.cfg.normalization_type == fields["normalization_type"]


@pytest.mark.parametrize("norm", NORMS)
@pytest.mark.parametrize("name", STEPS)
def test_what_is_not_valid_is_refused(name: str, norm: str | None):
    model = small_model(normalization_type=norm)
    if name in valid_steps(norm):
        STEPS[name](model)
        return
    why = {
        "fold_ln": "norms with weights",
        "center_writing_weights": "LayerNorms, which take the mean away",
    }[name]
    off = dict.fromkeys(STEPS, False)
    for build in (lambda: STEPS[name](model), lambda: process_weights(model, **{**off, name: True})):
        with pytest.raises(InputError) as raised:
            build()
        assert str(raised.value) == (
            f"wanted {why} for {name}; got normalization_type={norm!r}; leave {name} out"
        )


@pytest.mark.parametrize("norm", ["RMS", "RMSPre", None])
def test_centring_where_it_is_refused_would_change_the_model(norm: str | None):
    """The refusal is not idle: the arithmetic of centring, done there, is seen."""
    model = small_model(normalization_type=norm)
    wanted = log_probs(model)
    with torch.no_grad():
        for block in model.blocks:
            block.attn.W_O -= block.attn.W_O.mean(-1, keepdim=True)
    assert (log_probs(model) - wanted).abs().max() > 1e-2


def test_other_sizes_and_no_layers():
    for fields in (
        {"n_heads": 3, "d_head": 12},  # more than d_model + 1: the SVD has fewer columns
        {"n_layers": 0},
        {"n_layers": 3, "d_vocab_out": 5, "d_mlp": 6, "eps": 0.5},
    ):
        model = small_model(**fields, dtype="float64")
        new = process_weights(model, refactor_factored_attn_matrices=True)
        assert_equal_to(1e-10, log_probs(new), log_probs(model))


def test_in_16_bits_it_is_rounded_once():
    model = small_model(dtype="bfloat16", n_heads=2)
    new = process_weights(model)
    exact = process_weights(model.to(torch.float64))
    assert new.cfg.dtype == "bfloat16"
    for name, weight in new.state_dict().items():
        # float32 between the steps, so that a tie may fall to either side.
        same = (weight == exact.state_dict()[name].to(torch.bfloat16)).float().mean()
        assert same > 0.97, name


def test_the_new_model_is_like_the_old_but_for_its_weights():
    model = small_model(seed=None, n_heads=2).double().eval()
    model.W_E.requires_grad_(False)
    fired: list[str] = []
    model.hook_dict["hook_embed"].add_hook(lambda tensor, hook: fired.append(hook.name))
    state = torch.random.get_rng_state()
    new = process_weights(model)
    assert torch.equal(torch.random.get_rng_state(), state)
    assert new.cfg.dtype == "float64"
    assert not new.training
    assert {name for name, weight in new.named_parameters() if not weight.requires_grad} == {"embed.W_E"}
    new(small_tokens())
    assert not fired
    assert not {id(weight) for weight in new.parameters()} & {id(weight) for weight in model.parameters()}
    with torch.no_grad():
        new.W_U.zero_()
    assert model.W_U.abs().max() > 0


def test_a_model_of_two_dtypes_or_with_parts_of_its_own_is_refused():
    model = small_model()
    model.unembed.double()
    with pytest.raises(InputError, match=r"wanted weights of one dtype; got torch.float32, torch.float64;"):
        fold_layer_norm(model)
    model = small_model()
    model.blocks[0].attn.W_extra = torch.nn.Parameter(torch.ones(8))
    with pytest.raises(InputError, match=r"every weight has a known place; got blocks.0.attn.W_extra;"):
        fold_layer_norm(model)


def test_a_processed_model_saves_and_opens_again(tmp_path: pytest.TempPathFactory):
    import unweave

    new = process_weights(small_model(n_heads=2))
    new.save(tmp_path / "model")
    assert torch.equal(log_probs(unweave.load(tmp_path / "model")), log_probs(new))
