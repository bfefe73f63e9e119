"""With positions "none" there is no table, and one layer cannot tell the order of its prefix."""

from __future__ import annotations

import pytest
import torch

from tests.model.small import assert_equal_to, small_model, small_tokens
from unweave.model.positions import sinusoidal_table

ORDER = [3, 0, 5, 1, 4, 2, 6]  # the last position stays the last


def difference_at_the_end(**fields: object) -> float:
    model, tokens = small_model(dtype="float64", **fields), small_tokens()
    first, second = model(tokens)[:, -1], model(tokens[:, ORDER])[:, -1]
    return ((first - second).abs().max() / first.abs().max()).item()


def test_none_means_that_there_is_no_such_thing():
    model = small_model()
    names = [
        *model.state_dict(),
        *dict(model.named_modules()),
        *dict(model.named_buffers()),
        *model.hook_dict,
    ]
    assert not [name for name in names if "pos_embed" in name or "W_pos" in name]
    with pytest.raises(AttributeError):
        _ = model.W_pos


@pytest.mark.parametrize("attn_only", [False, True])
def test_one_layer_is_blind_to_the_order_of_the_prefix(attn_only: bool):
    assert difference_at_the_end(n_layers=1, attn_only=attn_only) < 1e-12


def test_two_layers_are_not():
    # The causal mask lets layer 0 write something that differs by position.
    assert difference_at_the_end(n_layers=2) > 1e-3


@pytest.mark.parametrize("positions", ["standard", "sinusoidal"])
def test_positions_break_the_symmetry(positions: str):
    assert difference_at_the_end(n_layers=1, positional_embedding_type=positions) > 1e-3


def test_the_learned_table_is_a_parameter_and_its_rows_are_used_in_order():
    model, tokens = small_model(positional_embedding_type="standard"), small_tokens(pos=4)
    assert model.W_pos is dict(model.named_parameters())["pos_embed.W_pos"]
    _, cache = model.run_with_cache(tokens)
    assert_equal_to(0, cache["pos_embed"], model.W_pos[:4].expand(3, 4, 8))
    assert_equal_to(1e-6, cache["resid_pre", 0], model.W_E[tokens] + model.W_pos[:4])


def test_the_sinusoidal_table_is_neither_trained_nor_saved():
    model = small_model(positional_embedding_type="sinusoidal")
    assert not [name for name in (*dict(model.named_parameters()), *model.state_dict()) if "pos" in name]
    with pytest.raises(AttributeError):
        _ = model.W_pos


def test_the_sinusoidal_table_by_hand():
    # d_model 4: rates 1 and 1/100. sin 1 = 0.841471, cos 1 = 0.540302, sin 0.01 = 0.00999983, ...
    wanted = torch.tensor(
        [[0, 1, 0, 1], [0.8414709848, 0.5403023059, 0.0099998333, 0.9999500004]], dtype=torch.float64
    )
    assert_equal_to(1e-9, sinusoidal_table(2, 4), wanted)
