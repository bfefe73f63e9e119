"""Runs in SAELens' own environment: writes tiny dictionaries and what they compute, or reads what Unweave saved.

python bench/parity/saelens_worker.py write FOLDER
python bench/parity/saelens_worker.py read FOLDER
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import sae_lens
import torch
from sae_lens.saes.sae import SAEMetadata
from safetensors.torch import load_file, save_file

D_IN, D_SAE, D_OUT = 6, 10, 4
PLACE = {
    "hook_name": "blocks.0.hook_resid_post",
    "model_name": "tiny",
    "prepend_bos": True,
    "context_size": 8,
}
AUTOENCODERS: dict[str, tuple[str, dict[str, Any]]] = {
    "standard": ("Standard", {}),
    "standard_bias_kept": ("Standard", {"apply_b_dec_to_input": False}),
    "standard_layer_norm": ("Standard", {"normalize_activations": "layer_norm"}),
    "standard_constant_norm": ("Standard", {"normalize_activations": "constant_norm_rescale"}),
    "standard_expected_average": ("Standard", {"normalize_activations": "expected_average_only_in"}),
    "standard_float16": ("Standard", {"dtype": "float16"}),
    "heads": ("Standard", {"reshape_activations": "hook_z"}),
    "gated": ("Gated", {}),
    "gated_layer_norm": ("Gated", {"normalize_activations": "layer_norm"}),
    "topk": ("TopK", {"k": 3}),
    "topk_rescaled": ("TopK", {"k": 3, "rescale_acts_by_decoder_norm": True}),
    "jumprelu": ("JumpReLU", {}),
}
TRANSCODERS = {
    "transcoder": "Transcoder",
    "transcoder_skip": "SkipTranscoder",
    "transcoder_jumprelu": "JumpReLUTranscoder",
    "transcoder_jumprelu_skip": "JumpReLUSkipTranscoder",
}
# What SAELens 5.11's SAEConfig.to_dict() writes (and, for "oldest", what files of 2024 look like).
OLDER: dict[str, dict[str, Any]] = {
    "older": {
        "architecture": "standard",
        "hook_name": "blocks.0.hook_resid_pre",
        "hook_layer": 0,
        "hook_head_index": None,
        "activation_fn_str": "relu",
        "activation_fn_kwargs": {},
        "apply_b_dec_to_input": False,
        "finetuning_scaling_factor": False,
        "sae_lens_training_version": "5.11.0",
        "prepend_bos": False,
        "dataset_path": "some/dataset",
        "dataset_trust_remote_code": True,
        "context_size": 8,
        "normalize_activations": "layer_norm",
        "neuronpedia_id": None,
        "model_from_pretrained_kwargs": {},
        "seqpos_slice": [None],
    },
    "older_topk": {
        "architecture": "standard",
        "hook_name": "blocks.0.hook_resid_pre",
        "hook_layer": 0,
        "activation_fn_str": "topk",
        "activation_fn_kwargs": {"k": 3},
        "apply_b_dec_to_input": True,
        "finetuning_scaling_factor": False,
        "normalize_activations": "none",
    },
    "oldest": {
        "hook_point": "blocks.0.hook_resid_pre",
        "hook_point_layer": 0,
        "hook_point_head_index": None,
        "dataset_path": "some/dataset",
        "l1_coefficient": 8e-5,
        "expansion_factor": 2,
        "normalize_activations": False,
    },
}


def scrambled(sae: Any, seed: int) -> Any:
    """Every weight random, so that none can be left out unseen."""
    generator = torch.Generator().manual_seed(seed)
    with torch.no_grad():
        for name, weight in sorted(sae.named_parameters()):
            drawn = torch.randn(weight.shape, generator=generator)
            weight.copy_(drawn.abs() * 0.5 if name == "threshold" else drawn)
    return sae


def expected(sae: Any, x: torch.Tensor) -> dict[str, torch.Tensor]:
    """What it computes of `x`."""
    with torch.no_grad():
        features = sae.encode(x)
        return {"x": x, "features": features, "output": sae(x)}


def inputs(shape: tuple[int, ...]) -> torch.Tensor:
    return 2 * torch.randn(shape, generator=torch.Generator().manual_seed(7)) + 0.5


def write(folder: Path) -> None:
    for number, (name, (kind, fields)) in enumerate(AUTOENCODERS.items()):
        config = getattr(sae_lens, f"{kind}SAEConfig")(d_in=D_IN, d_sae=D_SAE, **fields)
        hook = {"hook_name": "blocks.0.attn.hook_z"} if name == "heads" else {}
        config.metadata = SAEMetadata(**{**PLACE, **hook})
        sae = scrambled(getattr(sae_lens, f"{kind}SAE")(config), number)
        keep(folder / name, sae, inputs((5, 2, 3) if name == "heads" else (5, D_IN)))
    for number, (name, kind) in enumerate(TRANSCODERS.items()):
        config = getattr(sae_lens, f"{kind}Config")(
            d_in=D_IN, d_sae=D_SAE, d_out=D_OUT, apply_b_dec_to_input=False
        )
        config.metadata = SAEMetadata(**PLACE, hook_name_out="blocks.0.hook_mlp_out")
        keep(folder / name, scrambled(getattr(sae_lens, kind)(config), 50 + number), inputs((5, D_IN)))
    for number, rescaled in enumerate((False, True)):
        in_training(folder, "batchtopk_rescaled" if rescaled else "batchtopk", rescaled, 70 + number)
    for number, (name, values) in enumerate(OLDER.items()):
        older(folder / name, values, 90 + number)


def keep(folder: Path, sae: Any, x: torch.Tensor) -> None:
    sae.save_model(folder)
    save_file(expected(type(sae).load_from_disk(folder), x), folder / "expected.safetensors")


def in_training(folder: Path, name: str, rescaled: bool, seed: int) -> None:
    """Saved in training as it is; what it computes is that of the inference model that SAELens makes of it."""
    config = sae_lens.BatchTopKTrainingSAEConfig(
        d_in=D_IN, d_sae=D_SAE, k=2.5, rescale_acts_by_decoder_norm=rescaled
    )
    config.metadata = SAEMetadata(**PLACE)
    sae = scrambled(sae_lens.BatchTopKTrainingSAE(config), seed)
    sae.topk_threshold.fill_(0.8)
    sae.save_model(folder / name)
    x = inputs((5, D_IN))
    with torch.no_grad():
        batchwise = sae.encode(x)
    inference = folder / f"{name}_inference"
    sae.save_inference_model(inference)
    held = expected(sae_lens.SAE.load_from_disk(inference), x)
    save_file(held, inference / "expected.safetensors")
    save_file({**held, "batchwise": batchwise}, folder / name / "expected.safetensors")


def older(folder: Path, values: dict[str, Any], seed: int) -> None:
    folder.mkdir(parents=True)
    generator = torch.Generator().manual_seed(seed)
    shapes = {"W_enc": (D_IN, D_SAE), "W_dec": (D_SAE, D_IN), "b_enc": (D_SAE,), "b_dec": (D_IN,)}
    weights = {name: torch.randn(shape, generator=generator) for name, shape in shapes.items()}
    save_file(weights, folder / "sae_weights.safetensors")
    sizes = {"d_in": D_IN, "d_sae": D_SAE, "dtype": "float32", "device": "cpu"}
    (folder / "cfg.json").write_text(json.dumps({**values, **sizes}))
    save_file(
        expected(sae_lens.SAE.load_from_disk(folder), inputs((5, D_IN))), folder / "expected.safetensors"
    )


def read(folder: Path) -> None:
    """Open each of the folders that Unweave saved, and compare what it computes with what is expected."""
    worst: dict[str, float] = {}
    for case in sorted(path.parent for path in folder.glob("*/cfg.json")):
        held = load_file(case / "expected.safetensors")
        found = expected(sae_lens.SAE.load_from_disk(case), held["x"])
        worst[case.name] = max(
            ((found[name] - held[name]).abs().max() / held[name].abs().max()).item()
            for name in ("features", "output")
        )
    print(json.dumps(worst))


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    {"write": write, "read": read}[sys.argv[1]](Path(sys.argv[2]))
