from __future__ import annotations

import copy
import json
import math
import pickle
from typing import Any

import numpy as np
import pytest
import torch

from tests.core.unchecked import as_users_run
from tests.model.small import SIZES, small_config
from unweave.core.errors import InputError
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer

IMPOSSIBLE = [
    ("n_layers", -1, "wanted a whole number of at least 0 for n_layers; got -1; set n_layers in"),
    ("d_model", 0, "wanted a whole number of at least 1 for d_model; got 0; set d_model in"),
    ("d_model", 8.0, "wanted a whole number of at least 1 for d_model; got 8.0; set d_model in"),
    ("d_model", "8", "wanted a whole number of at least 1 for d_model; got '8'; set d_model in"),
    ("d_model", None, "wanted a whole number of at least 1 for d_model; got None; set d_model in"),
    ("d_head", -4, "wanted a whole number of at least 1 for d_head; got -4; set d_head in"),
    ("n_ctx", True, "wanted a whole number of at least 1 for n_ctx; got True; set n_ctx in"),
    ("n_heads", 0, "wanted a whole number of at least 1 for n_heads; got 0; set n_heads in"),
    ("d_vocab", 0, "wanted a whole number of at least 1 for d_vocab; got 0; set d_vocab in"),
    ("d_vocab", -2, "wanted a whole number of at least 1 for d_vocab; got -2; set d_vocab in"),
    ("d_vocab_out", 0, "wanted a whole number of at least 1 for d_vocab_out; got 0; set d_vocab_out in"),
    ("d_mlp", -5, "wanted a whole number of at least 1 for d_mlp; got -5; set d_mlp in"),
    ("act_fn", "swish", "wanted act_fn to be one of 'relu', 'gelu', 'silu', 'gelu_new', "),
    ("act_fn", None, "wanted act_fn to be one of 'relu', 'gelu', 'silu', 'gelu_new', "),
    (
        "normalization_type",
        "ln",
        "wanted normalization_type to be one of 'LN', 'LNPre', 'RMS', 'RMSPre', None",
    ),
    (
        "positional_embedding_type",
        "absolute",
        "wanted positional_embedding_type to be one of 'none', 'standard', 'sinusoidal', 'shortformer', ",
    ),
    ("init_mode", "zeros", "wanted init_mode to be one of 'gpt2', 'xavier_uniform', "),
    ("attn_only", "yes", "wanted attn_only to be one of True, False; got 'yes'; set attn_only in"),
    (
        "dtype",
        "float8",
        "wanted dtype to be one of 'float32', 'float64', 'bfloat16', 'float16'; got 'float8'; set",
    ),
    (
        "dtype",
        torch.int64,
        "wanted dtype to be one of 'float32', 'float64', 'bfloat16', 'float16'; got 'int64'; set",
    ),
    ("eps", 0.0, "wanted a finite number above 0 for eps; got 0.0; set eps"),
    ("attn_scale", math.nan, "wanted a finite number above 0 for attn_scale; got nan; set attn_scale"),
    ("initializer_range", math.inf, "wanted a finite number above 0 for initializer_range; got inf; set"),
    ("seed", 1.5, "wanted a whole number or None for seed; got 1.5; set seed"),
    ("device", "gpu", "wanted a torch device; got 'gpu'; write 'cpu' or 'cuda'"),
]


@pytest.mark.parametrize(("field", "value", "sentence"), IMPOSSIBLE)
def test_an_impossible_value_is_refused_when_built(field: str, value: object, sentence: str):
    with as_users_run(), pytest.raises(InputError) as raised:
        small_config(**{field: value})
    assert str(raised.value).startswith(sentence)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(("field", "value", "sentence"), IMPOSSIBLE)
def test_a_refused_assignment_changes_nothing(field: str, value: object, sentence: str):
    config = small_config()
    before = config.to_dict()
    with as_users_run(), pytest.raises(InputError) as raised:
        setattr(config, field, value)
    # By now n_heads is 2, whatever d_head becomes: nothing else is filled in anew.
    assert str(raised.value).startswith(sentence)
    assert config.to_dict() == before


def test_an_assignment_that_can_be_honoured_is():
    config = small_config()
    config.n_layers, config.dtype, config.n_heads = 5, torch.float64, -1
    assert (config.n_layers, config.dtype, config.n_heads) == (5, "float64", 2)
    config.d_model = 16
    assert (config.n_heads, config.d_mlp) == (2, 32), "what was filled in stays"


def test_an_assignment_fills_in_what_it_makes_necessary():
    config = small_config(attn_only=True)
    assert config.d_mlp is None
    config.attn_only = False
    assert config.d_mlp == 32
    assert HookedTransformer(config).W_in.shape == (2, 8, 32)


def test_a_field_that_does_not_exist_is_refused_with_the_nearest():
    config, sentence = (
        small_config(),
        "wanted a field of HookedTransformerConfig; got 'n_layer'; nearest: n_layers",
    )
    with pytest.raises(InputError) as raised:
        config.n_layer = 3
    assert str(raised.value).startswith(sentence)
    assert not hasattr(config, "n_layer")
    with pytest.raises(InputError) as raised:
        HookedTransformer({**SIZES, "n_layer": 3})
    assert str(raised.value).startswith(sentence)


def test_a_field_that_is_missing_is_told():
    fields = {name: value for name, value in SIZES.items() if name != "d_head"}
    with pytest.raises(InputError) as raised:
        HookedTransformerConfig.from_dict(fields)
    assert str(raised.value) == "wanted a value for d_head; got none; set d_head in HookedTransformerConfig"


def test_defaults_that_depend_on_others():
    config = HookedTransformerConfig(2, 64, 50, 16, d_vocab=300, act_fn="relu")
    assert (config.n_heads, config.d_mlp, config.d_vocab_out, config.device) == (4, 256, 300, "cpu")
    assert config.attn_scale == 4.0
    assert config.initializer_range == 0.1  # 0.8 / 8
    assert config.torch_dtype == torch.float32


def test_heads_that_would_not_fill_d_model_are_not_chosen_silently():
    with pytest.raises(InputError) as raised:
        small_config(d_model=8, d_head=3)
    assert str(raised.value) == (
        "wanted a d_head that divides d_model=8; got 3; set n_heads to choose the number of heads yourself"
    )
    assert small_config(d_model=8, d_head=3, n_heads=2).n_heads == 2


def test_an_attention_only_model_needs_no_activation_function():
    config = small_config(attn_only=True, act_fn=None)
    assert config.d_mlp is None


@pytest.mark.parametrize("dtype", ["bfloat16", torch.bfloat16])
def test_a_config_survives_json(dtype: str | torch.dtype):
    config = small_config(dtype=dtype, device=torch.device("cpu"))
    again = HookedTransformerConfig.from_dict(json.loads(json.dumps(config.to_dict())))
    assert again == config
    assert again.torch_dtype == torch.bfloat16


@pytest.mark.parametrize("copied", [copy.deepcopy, lambda config: pickle.loads(pickle.dumps(config))])
def test_a_copy_is_checked_as_the_original_is(copied: object):
    config = small_config()
    again = copied(config)
    assert again == config
    with pytest.raises(InputError):
        again.n_layers = -1
    again.n_layers = 1
    assert config.n_layers == 2


@pytest.mark.skipif(torch.cuda.is_available(), reason="needs a machine without a GPU")
def test_a_device_that_is_not_there_is_told():
    with pytest.raises(InputError) as raised:
        HookedTransformer(small_config(device="cuda"))
    assert str(raised.value) == "wanted a device of this machine; got 'cuda'; write device='cpu'"


@pytest.mark.parametrize("kind", [np.int64, np.asarray, torch.tensor], ids=lambda kind: kind.__name__)
def test_a_scalar_of_numpy_or_torch_is_the_number_it_holds(kind: Any):
    """As sizes are that were counted in data: 3.9 takes them, and a config of NumPy's would not survive JSON."""
    counted: dict[str, Any] = {**SIZES, "n_ctx": kind(6), "seed": kind(3), "eps": np.float32(0.5)}
    with as_users_run():
        cfg = HookedTransformerConfig(**counted)
    assert (cfg.n_ctx, cfg.seed, cfg.eps) == (6, 3, 0.5)
    assert all(type(value) in (int, float) for value in (cfg.n_ctx, cfg.seed, cfg.eps))
    assert json.loads(json.dumps(cfg.to_dict()))["n_ctx"] == 6
    with pytest.raises(TypeError):
        json.dumps(cfg.to_dict() | {"n_ctx": np.int64(6)})
    with as_users_run(), pytest.raises(InputError, match=r"wanted a whole number .* for n_ctx; got 6\.0"):
        HookedTransformerConfig(**counted | {"n_ctx": np.float32(6)})
