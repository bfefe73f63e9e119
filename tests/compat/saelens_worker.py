"""Runs in an environment with SAELens and without TransformerLens: a sparse autoencoder on a model of ours.

    PYTHONPATH=.:src PYTHON -m tests.compat.saelens_worker FOLDER

Prints what it found as one line of JSON; test_saelens.py says what that must be.
"""

from __future__ import annotations

import json
import sys
import warnings
from pathlib import Path
from typing import Any

import unweave.compat

unweave.compat.install()

import torch  # noqa: E402 - the door first of all
from datasets import Dataset  # noqa: E402
from sae_lens import (  # noqa: E402
    SAE,
    HookedSAETransformer,
    LanguageModelSAERunnerConfig,
    LanguageModelSAETrainingRunner,
    LoggingConfig,
    StandardTrainingSAEConfig,
    __version__,
)
from transformers import AutoTokenizer  # noqa: E402

from tests.model.text.builders import TEXT, write_folder  # noqa: E402

HOOK = "blocks.0.hook_resid_post"
D_SAE, L1 = 48, 0.3
PROMPT = "The cat sat on the mat. The dog sat on the log."


def main(folder: Path) -> dict[str, Any]:
    """Train, save, load, and run it in every way that SAELens has."""
    model = made(folder)
    sae = trained(model, folder)
    sae.save_inference_model(folder / "sae")
    loaded = SAE.load_from_disk(folder / "sae")
    tokens = model.to_tokens(PROMPT)
    with torch.no_grad():
        return {
            "version": __version__,
            "transformer_lens": model.__class__.__mro__[1].__module__,
            **learned(model, loaded, folder),
            **attached(model, loaded, tokens),
            **hooked(model, loaded, tokens),
        }


def made(folder: Path) -> HookedSAETransformer:
    """A small model of ours, in SAELens' own class."""
    tokenizer = AutoTokenizer.from_pretrained(write_folder("gpt2", folder / "tokenizer"))
    cfg = {
        "n_layers": 2,
        "d_model": 16,
        "n_ctx": 32,
        "d_head": 8,
        "d_mlp": 32,
        "d_vocab": len(tokenizer),
        "act_fn": "gelu",
        "seed": 0,
        "device": "cpu",
    }
    return HookedSAETransformer(cfg, tokenizer)


def trained(model: Any, folder: Path) -> Any:
    """A standard autoencoder, trained by SAELens' runner on the model's own activations."""
    config = LanguageModelSAERunnerConfig(
        sae=StandardTrainingSAEConfig(d_in=16, d_sae=D_SAE, l1_coefficient=L1, dtype="float32", device="cpu"),
        model_name="ours",
        hook_name=HOOK,
        dataset_path="none",
        is_dataset_tokenized=False,
        streaming=False,
        context_size=16,
        training_tokens=20_000,
        train_batch_size_tokens=64,
        store_batch_size_prompts=4,
        n_batches_in_buffer=8,
        lr=3e-3,
        lr_warm_up_steps=0,
        device="cpu",
        act_store_device="cpu",
        seed=0,
        logger=LoggingConfig(log_to_wandb=False),
        n_checkpoints=0,
        checkpoint_path=None,
        output_path=None,
        n_eval_batches=2,
        verbose=False,
    )
    texts = Dataset.from_dict({"text": TEXT * 20})
    return LanguageModelSAETrainingRunner(config, override_dataset=texts, override_model=model).run()


def learned(model: Any, sae: Any, folder: Path) -> dict[str, Any]:
    """What of the activations it explains, beside one that was never trained."""
    tokens = model.to_tokens([*dict.fromkeys(TEXT)], padding_side="right")
    activations = model.run_with_cache(tokens, names_filter=HOOK)[1][HOOK].flatten(0, 1)
    fresh = StandardTrainingSAEConfig(d_in=16, d_sae=D_SAE, l1_coefficient=L1)
    from sae_lens import StandardTrainingSAE

    torch.manual_seed(1)
    untrained = StandardTrainingSAE(fresh)
    return {
        "explained": explained(sae(activations), activations),
        "explained untrained": explained(untrained(activations), activations),
        "l0": (sae.encode(activations) > 0).float().sum(-1).mean().item(),
        "saved": sorted(path.name for path in (folder / "sae").iterdir()),
    }


def explained(found: torch.Tensor, wanted: torch.Tensor) -> float:
    """The share of the variance."""
    return (1 - (found - wanted).square().sum() / (wanted - wanted.mean(0)).square().sum()).item()


def attached(model: Any, sae: Any, tokens: torch.Tensor) -> dict[str, Any]:
    """The model with the autoencoder in the place of a hook point."""
    plain = model(tokens)
    spliced = model.run_with_saes(tokens, saes=[sae])
    by_hand = model.run_with_hooks(tokens, fwd_hooks=[(HOOK, lambda x, hook: sae(x))])
    with_error = model.run_with_saes(tokens, saes=[sae], use_error_term=True)
    _, cache = model.run_with_cache_with_saes(tokens, saes=[sae])
    activations = model.run_with_cache(tokens)[1][HOOK]
    with model.saes(saes=[sae]):
        inside = sorted(name for name in model.hook_dict if name.startswith(HOOK))
        again = model(tokens)
    return {
        "changed": far(spliced, plain),
        "spliced as by hand": far(spliced, by_hand),
        "with its error term": far(with_error, plain),
        "in a block": far(again, spliced),
        "afterwards": far(model(tokens), plain),
        "hooks": inside,
        "hooks afterwards": sorted(name for name in model.hook_dict if name.startswith(HOOK)),
        "cached features": far(cache[f"{HOOK}.hook_sae_acts_post"], sae.encode(activations)),
    }


def hooked(model: Any, sae: Any, tokens: torch.Tensor) -> dict[str, Any]:
    """A feature, switched off by a hook of its own."""
    activations = model.run_with_cache(tokens)[1][HOOK]
    feature = int(sae.encode(activations)[0].sum(0).argmax())

    def off(acts: torch.Tensor, hook: Any) -> torch.Tensor:
        acts[..., feature] = 0
        return acts

    name = f"{HOOK}.hook_sae_acts_post"
    found = model.run_with_hooks_with_saes(tokens, saes=[sae], fwd_hooks=[(name, off)])
    features = sae.encode(activations)
    features[..., feature] = 0
    by_hand = model.run_with_hooks(tokens, fwd_hooks=[(HOOK, lambda x, hook: sae.decode(features))])
    alone, cache = sae.run_with_cache(activations)  # its hooks have the names that they had in the model
    return {
        "switched off as by hand": far(found, by_hand),
        "and that matters": far(found, model.run_with_saes(tokens, saes=[sae])),
        "sae's own hooks": sorted(cache),
        "sae's own output": far(alone, sae(activations)),
    }


def far(a: torch.Tensor, b: torch.Tensor) -> float:
    """The largest difference, in parts of the largest number."""
    return ((a - b).abs().max() / b.abs().max()).item()


if __name__ == "__main__":
    warnings.simplefilter("ignore")
    print(json.dumps(main(Path(sys.argv[1]))))  # noqa: T201 - the answer
