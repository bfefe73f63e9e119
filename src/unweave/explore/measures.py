"""Measures for `over_checkpoints`, ready made: functions of a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from jaxtyping import Int
from torch import Tensor

from unweave.analysis.head_kinds import head_kinds
from unweave.core.errors import InputError, nearest
from unweave.core.results import Result
from unweave.model.transformer import HookedTransformer
from unweave.tasks import IGNORED, Batch, Task
from unweave.training.run_file import RunConfig

HELD_OUT = 256  # sequences that a measure by name is taken on


def names() -> tuple[str, ...]:
    """Those that need nothing but the run, by name; `attention-LAYER.HEAD` for each head besides."""
    return ("loss-by-position", "head-kinds", "weight-norms", "attention-LAYER.HEAD")


def named(name: str, run: Path) -> Callable[[HookedTransformer], Result]:
    """The measure of that name, on held-out sequences of the run's own task.

    Raises:
        InputError: for another name, or if the run's task or model is not one that its file can say.
    """
    if name == "weight-norms":
        return weight_norms
    if name == "head-kinds":
        return head_kind_scores
    layer, dot, head = name.removeprefix("attention-").partition(".")
    if name == "loss-by-position" or (dot and layer.isdigit() and head.isdigit()):
        config = RunConfig.read(run)
        batch = config.task.held_out(HELD_OUT, config.training.seed)
        if name == "loss-by-position":
            return loss_by_position(config.task, batch)
        return attention_pattern(int(layer), int(head), batch.tokens)
    raise InputError(
        wanted=f"a measure among {', '.join(names())}",
        got=repr(name),
        remedy=f"nearest: {nearest(name, names())}; or give a function of a model",
    )


def loss_by_position(task: Task, batch: Batch) -> Callable[[HookedTransformer], Result]:
    """The mean cross-entropy, in nats, at each position that the task asks at; targets that are ignored are left out."""

    @torch.no_grad()
    def loss_by_position(model: HookedTransformer) -> Result:
        logits = model(batch.tokens.to(model.W_U.device))[:, task.scored].cpu()
        asked = batch.targets != IGNORED
        losses = F.cross_entropy(
            logits.transpose(1, 2), batch.targets, ignore_index=IGNORED, reduction="none"
        )
        positions = range(task.n_ctx)[task.scored]
        kept = [n for n in range(len(positions)) if bool(asked[:, n].any())]
        means = (losses * asked).sum(0)[kept] / asked.sum(0)[kept]
        return Result(means, ("position",), {"position": tuple(positions[n] for n in kept)}, "nats")

    return loss_by_position


def attention_pattern(
    layer: int, head: int, tokens: Int[Tensor, "batch pos"]
) -> Callable[[HookedTransformer], Result]:
    """The head's attention pattern on these tokens, the mean over sequences: [query, key].

    Raises:
        InputError: when it is called, for a head that the model hasn't got.
    """

    @torch.no_grad()
    def attention(model: HookedTransformer) -> Result:
        cfg = model.cfg
        if not (0 <= layer < cfg.n_layers and 0 <= head < cfg.n_heads):
            raise InputError(
                wanted=f"a head of layers 0 to {cfg.n_layers - 1}, heads 0 to {cfg.n_heads - 1}",
                got=f"{layer}.{head}",
                remedy="name it as LAYER.HEAD, both counted from 0",
            )
        name = f"blocks.{layer}.attn.hook_pattern"
        _, cache = model.run_with_cache(tokens.to(model.W_U.device), names_filter=name)
        positions = tuple(range(tokens.shape[1]))
        mean = cache[name][:, head].mean(0).cpu()
        return Result(mean, ("query", "key"), {"query": positions, "key": positions}, "attention")

    attention.__name__ = f"attention of head {layer}.{head}"
    return attention


def head_kind_scores(model: HookedTransformer) -> Result:
    """How much each head attends as heads of known kinds do, above its control: [kind, head].

    See `unweave.analysis.head_kinds`.
    """
    found = head_kinds(model)
    scores, controls = (found.sel(measure=name) for name in ("score", "control"))
    return Result(
        scores.values - controls.values,
        scores.dims,
        scores.coords,
        "attention above the control's",
        warnings=found.warnings,
    )


@torch.no_grad()
def weight_norms(model: HookedTransformer) -> Result:
    """The Frobenius norm of every weight matrix and embedding, biases left out."""
    norms = {
        name: p.norm().item() for name, p in model.named_parameters() if p.ndim > 1 and ".b_" not in name
    }
    return Result(torch.tensor(list(norms.values())), ("weight",), {"weight": tuple(norms)}, "norm")
