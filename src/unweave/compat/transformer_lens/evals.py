"""Rough evaluations, to compare models with: losses on small samples, induction, indirect objects, MMLU."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor
from torch.utils.data import DataLoader
from tqdm.auto import tqdm

from unweave.compat.ioi import IOIDataset, ioi_eval
from unweave.compat.mmlu import MMLU_ANSWER_LETTERS, MMLU_SUBJECTS, make_mmlu_data_loader, mmlu_eval
from unweave.compat.packages import load_dataset
from unweave.compat.transformer_lens.utilities.lm_utils import lm_cross_entropy_loss
from unweave.compat.transformer_lens.utilities.tokenize_utils import tokenize_and_concatenate
from unweave.core.errors import InputError

__all__ = [
    "DATASET_LOADERS",
    "DATASET_NAMES",
    "MMLU_ANSWER_LETTERS",
    "MMLU_SUBJECTS",
    "IOIDataset",
    "evaluate",
    "evaluate_on_dataset",
    "induction_loss",
    "ioi_eval",
    "make_code_data_loader",
    "make_mmlu_data_loader",
    "make_owt_data_loader",
    "make_pile_data_loader",
    "make_wiki_data_loader",
    "mmlu_eval",
    "sanity_check",
]

# From the first paragraph of Olah et al., "Zoom In: An Introduction to Circuits" (Distill, 2020; CC BY 4.0).
ZOOM_IN = (
    "Many important transition points in the history of science have been moments when science 'zoomed in.' At "
    "these points, we develop a visualization or tool that allows us to see the world in a new level of detail, "
    "and a new field of science develops to study the world through this lens."
)


def sanity_check(model: Any) -> Float[Tensor, ""]:
    """The loss on two sentences: below 5 for a model that knows English."""
    return model(ZOOM_IN, return_type="loss")


def make_wiki_data_loader(tokenizer: Any, batch_size: int = 8) -> Any:
    """Rows of 1024 tokens from Wikitext 2's training set (from the hub, by `datasets`)."""
    return _loader(tokenizer, batch_size, "text", "Salesforce/wikitext", "wikitext-2-v1")


def make_owt_data_loader(tokenizer: Any, batch_size: int = 8) -> Any:
    """Rows of 1024 tokens from 10,000 texts of OpenWebText (from the hub, by `datasets`)."""
    return _loader(tokenizer, batch_size, "text", "stas/openwebtext-10k")


def make_pile_data_loader(tokenizer: Any, batch_size: int = 8) -> Any:
    """Rows of 1024 tokens from 10,000 texts of The Pile (from the hub, by `datasets`)."""
    return _loader(tokenizer, batch_size, "text", "NeelNanda/pile-10k")


def make_code_data_loader(tokenizer: Any, batch_size: int = 8) -> Any:
    """Rows of 1024 tokens of Python code, from CodeParrot (from the hub, by `datasets`)."""
    return _loader(tokenizer, batch_size, "content", "codeparrot/codeparrot-valid-v2-near-dedup")


DATASET_NAMES = ["wiki", "owt", "pile", "code"]
DATASET_LOADERS: list[Callable[..., Any]] = [
    make_wiki_data_loader,
    make_owt_data_loader,
    make_pile_data_loader,
    make_code_data_loader,
]


@torch.inference_mode()
def evaluate_on_dataset(model: Any, data_loader: Any, truncate: int = 100, device: Any = None) -> float:
    """The mean of the losses of `truncate + 1` batches, as many as in 3.9, or of all if there are fewer.

    Args:
        data_loader: of batches `{"tokens": [batch, pos]}`.
        device: None is the model's; 3.9 takes "cuda" for granted.
    """
    device, losses = model.W_E.device if device is None else device, list[float]()
    for batch in tqdm(data_loader, disable=None):
        losses.append(model(batch["tokens"].to(device), return_type="loss").mean().item())
        if len(losses) > truncate:
            break
    return sum(losses) / len(losses)


@torch.inference_mode()
def induction_loss(
    model: Any,
    tokenizer: Any = None,
    batch_size: int = 4,
    subseq_len: int = 384,
    prepend_bos: bool | None = None,
    device: Any = None,
) -> Float[Tensor, ""]:
    """The loss on the second half of random tokens that come twice: low where there are induction heads.

    Tokens are drawn from 100 to 20,000; where the vocabulary ends before that (there 3.9 fails), from
    all of it. The loss at the first token of the second half, which nothing foretells, is left out.

    Args:
        tokenizer: for BOS; None is the model's.
        prepend_bos: put BOS in the place of the first token; None is the model's default.
        device: None is the model's; 3.9 takes "cuda" for granted.

    Raises:
        InputError: if BOS is wanted and there is no tokenizer to name it.
    """
    device, size = model.W_E.device if device is None else device, model.cfg.d_vocab
    low, high = (100, 20_000) if size >= 20_000 else (0, size)
    tokens = torch.randint(low, high, (batch_size, subseq_len)).to(device).repeat(1, 2)
    if model.cfg.default_prepend_bos if prepend_bos is None else prepend_bos:
        bos = getattr(model.tokenizer if tokenizer is None else tokenizer, "bos_token_id", None)
        if bos is None:
            raise InputError(
                wanted="a tokenizer with BOS, to begin with it",
                got="none",
                remedy="pass tokenizer=, or prepend_bos=False",
            )
        tokens[:, 0] = bos
    lost = lm_cross_entropy_loss(model(tokens, return_type="logits"), tokens, per_token=True)
    return lost[:, subseq_len + 1 :].mean()


def evaluate(model: Any, truncate: int = 100, batch_size: int = 8, tokenizer: Any = None) -> dict[str, float]:
    """The losses on small samples of Wikipedia, OpenWebText, The Pile and code, by "wiki_loss" and so on; also printed.

    Raises:
        InputError: if `datasets` isn't installed.
    """
    losses: dict[str, float] = {}
    for name, make in zip(DATASET_NAMES, DATASET_LOADERS, strict=True):
        loader = make(tokenizer=tokenizer or model.tokenizer, batch_size=batch_size)
        losses[f"{name}_loss"] = evaluate_on_dataset(model, loader, truncate=truncate)
        print(f"{name}: {losses[f'{name}_loss']}")  # noqa: T201 - as in 3.9
    return losses


def _loader(tokenizer: Any, batch_size: int, column: str, *dataset: str) -> Any:
    rows = tokenize_and_concatenate(load_dataset(*dataset, split="train"), tokenizer, column_name=column)
    return DataLoader(rows, batch_size=batch_size, shuffle=True, drop_last=True)
