"""Tiny models in TransformerLens' own format, written by 3.9.0 for the tests: run by the Python of its environment.

    PYTHONPATH=. TL_PYTHON -m bench.parity.freeze_native tests/compat/native

A folder a model: `config.json`, as the toy models on the hub have it or whole, and `model_final.pth`; one more
checkpoint; and what TransformerLens makes of each in `answers.safetensors`.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file
from torch import Tensor
from transformer_lens import HookedTransformer, HookedTransformerConfig
from transformer_lens.pretrained.weight_conversions import (
    convert_mingpt_weights,
    convert_neel_solu_old_weights,
)

from bench.parity.helper_calls import filled, numbers

SIZES = {"n_layers": 1, "d_model": 6, "n_heads": 2, "d_head": 3, "n_ctx": 5, "d_vocab": 7}
TOKENS = torch.tensor([[0, 3, 6, 1, 2], [5, 5, 4, 0, 1]])
# What a description of a training run says beside the model's own fields.
RUN = {
    "lr": 0.001,
    "batch_size": 4,
    "seed": 98742,
    "weight_decay": 0.05,
    "dataset_name": "c4+code",
    "version": 12,
}
# By name: the fields that the toy models' files have, in their own words.
DESCRIBED: dict[str, dict[str, Any]] = {
    "solu": {
        "d_mlp": 8,
        "act_fn": "solu_ln",
        "attn_only": False,
        "normalization": "LNPre",
        "shortformer_pos": False,
    },
    "gelu": {"d_mlp": 8, "act_fn": "gelu", "attn_only": False, "normalization_type": "LN"},
    "attn-only": {
        "d_mlp": 8,
        "act_fn": "solu_ln",
        "attn_only": True,
        "normalization": "LN",
        "shortformer_pos": True,
    },
    "final-rms": {
        "d_mlp": 8,
        "act_fn": "gelu",
        "attn_only": False,
        "normalization": "LN",
        "shortformer_pos": False,
        "final_rms": True,
    },
}
# Whole configs, as `json.dumps(cfg.to_dict(), default=str)` writes them.
WHOLE: dict[str, dict[str, Any]] = {
    "llama": {
        "normalization_type": "RMS",
        "positional_embedding_type": "rotary",
        "rotary_dim": 2,
        "gated_mlp": True,
        "act_fn": "silu",
        "n_key_value_heads": 1,
        "d_mlp": 8,
    },
    "experts": {"num_experts": 3, "experts_per_token": 2, "gated_mlp": True, "act_fn": "silu", "d_mlp": 8},
    "alibi": {"positional_embedding_type": "alibi", "act_fn": "relu", "d_mlp": 8},
}
PROCESSED = {"gelu": True, "solu": True, "attn-only": False, "final-rms": False, "llama": False}


def main(path: str) -> None:
    """Write every folder, and the answers."""
    warnings.simplefilter("ignore")
    folder, answers = Path(path), dict[str, Tensor]()
    for name, described in DESCRIBED.items():
        fields = {**SIZES, **described}
        kind = "shortformer" if fields.pop("shortformer_pos", False) else "standard"
        norm = fields.pop("normalization", None) or fields.pop("normalization_type")
        cfg = HookedTransformerConfig(
            **fields, normalization_type=norm, positional_embedding_type=kind, device="cpu"
        )
        answers |= write(folder / name, name, {**SIZES, **described, **RUN, "tokenizer_name": None}, cfg)
    for name, fields in WHOLE.items():
        cfg = HookedTransformerConfig(**SIZES, **fields, device="cpu")
        answers |= write(folder / name, name, cfg.to_dict(), cfg)
    # A checkpoint of training is another model.
    model = HookedTransformer(HookedTransformerConfig(**SIZES, d_mlp=8, act_fn="gelu", device="cpu"))
    (folder / "gelu" / "checkpoints").mkdir(exist_ok=True)
    torch.save(halved(filled(model)).state_dict(), folder / "gelu" / "checkpoints" / "GELU_2L_000000500.pth")
    answers["gelu checkpoint"] = model(TOKENS).detach()
    answers |= conversions()
    save_file(
        {name: tensor.contiguous().clone() for name, tensor in answers.items()},
        folder / "answers.safetensors",
    )
    print(sum(file.stat().st_size for file in folder.rglob("*") if file.is_file()), "bytes", file=sys.stderr)


def write(folder: Path, name: str, config: dict[str, Any], cfg: HookedTransformerConfig) -> dict[str, Tensor]:
    """One folder; its logits, and, where its weights can be processed, those of the processed model."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config, default=str, indent=0) + "\n", encoding="utf-8")
    model = filled(HookedTransformer(cfg))
    torch.save(model.state_dict(), folder / "model_final.pth")
    found = {f"{name} logits": model(TOKENS).detach()}
    if PROCESSED.get(name):
        state = {key: value.clone() for key, value in model.state_dict().items()}
        model.load_and_process_state_dict(state)
        found[f"{name} processed"] = model(TOKENS).detach()
        found[f"{name} processed W_E"] = model.W_E.detach()
    return found


def halved(model: Any) -> Any:
    """The model with half of its weights."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.mul_(0.5)
    return model


def conversions() -> dict[str, Tensor]:
    """Weights in the two older layouts, and what 3.9 makes of them."""
    found: dict[str, Tensor] = {}
    for layers in (2, 8, 10):
        cfg = HookedTransformerConfig(**{**SIZES, "n_layers": layers}, d_mlp=8, act_fn="gelu", device="cpu")
        old = {
            "embed.W_E": numbers(6, 7),
            "pos_embed.W_pos": numbers(6, 5),
            "blocks.0.norm1.w": numbers(6),
            "blocks.0.attn.W_Q": numbers(2, 3, 6),
            "blocks.0.mlp.W_in": numbers(8, 6),
            "blocks.0.mlp.b_in": numbers(8),
            "norm.w": numbers(6),
            "unembed.W_U": numbers(7, 6),
        }
        found |= {f"old {layers} given {name}": value for name, value in old.items()}
        found |= {
            f"old {layers} made {k}": v for k, v in convert_neel_solu_old_weights(dict(old), cfg).items()
        }
    cfg = HookedTransformerConfig(**{**SIZES, "n_layers": 1}, d_mlp=8, act_fn="gelu", device="cpu")
    mini = {
        "tok_emb.weight": numbers(7, 6),
        "pos_emb": numbers(1, 5, 6),
        "head.weight": numbers(7, 6, start=3),
    }
    for norm in ("blocks.0.ln1", "blocks.0.ln2", "ln_f"):
        mini |= {f"{norm}.weight": numbers(6, start=1), f"{norm}.bias": numbers(6, start=2)}
    for i, part in enumerate(("query", "key", "value", "proj")):
        mini |= {
            f"blocks.0.attn.{part}.weight": numbers(6, 6, start=i),
            f"blocks.0.attn.{part}.bias": numbers(6, start=i),
        }
    mini |= {"blocks.0.mlp.0.weight": numbers(8, 6), "blocks.0.mlp.0.bias": numbers(8)}
    mini |= {"blocks.0.mlp.2.weight": numbers(6, 8), "blocks.0.mlp.2.bias": numbers(6)}
    found |= {f"mini given {name}": value for name, value in mini.items()}
    return found | {f"mini made {name}": value for name, value in convert_mingpt_weights(mini, cfg).items()}


if __name__ == "__main__":
    main(sys.argv[1])
