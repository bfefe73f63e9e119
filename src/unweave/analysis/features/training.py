"""Training a small dictionary on activations."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from tqdm import tqdm

from unweave.analysis.features.config import DictionaryConfig
from unweave.analysis.features.dictionary import Dictionary
from unweave.analysis.features.losses import Sparsity, Step
from unweave.analysis.features.revival import Revival
from unweave.analysis.store import Column
from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.model.config_checks import require_choice

Activations = Float[Tensor, "token d"] | Column
MEASURES = ("loss", "error", "l0", "variance_explained", "dead")
# Activations from which the scale and the mean are taken.
SAMPLE = 8192


@dataclass(frozen=True, eq=False)
class Trained:
    """A dictionary, and how it came about.

    Args:
        dictionary: for activations as they were given.
        history: dimensions "measure" and "step": the loss, its part that is the squared error (both
            per vector, of activations scaled to a mean norm of sqrt(d)), active features, variance
            explained in the batch, and features that haven't fired for `dead_after` steps.
        warnings: what must be known before using it.
    """

    dictionary: Dictionary
    history: Result
    warnings: tuple[str, ...]


def train(
    activations: Activations,
    d_sae: int,
    *,
    architecture: str = "standard",
    k: int | None = None,
    l1: float = 1.0,
    steps: int = 2000,
    batch_size: int = 512,
    lr: float = 1e-3,
    dead_after: int = 200,
    hook_name: str | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Trained:
    """Train a sparse autoencoder on activations, by Adam.

    "standard" minimises `|x - x̂|² + l1 · sum_i f_i |W_dec_i|` (Anthropic, April 2024): the decoder's
    norms are in the penalty, so that they can't grow to evade it. Features that are dead at a quarter and at
    half of the steps begin again at inputs that are badly reconstructed (Bricken et al., 2023). "topk" and
    "batchtopk" keep k features active, each time or on average over a batch, and let dead ones
    reconstruct the error (Gao et al., 2024; Bussmann et al., 2024, arXiv:2412.06410); a
    "batchtopk" ends as a JumpReLU, as SAELens' do.

    Activations are scaled to a mean norm of sqrt(d) and the decoder's bias begins at their mean; the
    dictionary that is returned takes and gives them as they are, with decoder rows of norm one. For models of
    any size use SAELens, and open what it writes with `load`: this is for tasks and tests.

    Args:
        activations: `[token, d]`, or a store's column, from which each batch is read.
        k: active features; for "topk" and "batchtopk".
        l1: for "standard"; it grows to its value over the first twentieth of the steps.
        lr: falls to 0 over the last fifth.
        dead_after: steps without firing after which a feature counts as dead.
        hook_name: the site they are of; None is the column's.
        seed: of the weights, the batches and what is drawn for dead features.
        progress: show a bar.

    Raises:
        InputError: for an architecture or numbers that don't fit.
    """
    _require(activations, d_sae, architecture, k, steps, batch_size)
    name = activations.name if isinstance(activations, Column) and hook_name is None else hook_name
    sample = _batch(activations, SAMPLE, seed, -1)
    scale = sample.shape[1] ** 0.5 / sample.norm(dim=-1).mean().item()
    config = DictionaryConfig(
        "topk" if architecture == "topk" else "jumprelu" if architecture == "batchtopk" else "standard",
        sample.shape[1],
        d_sae,
        k=k if architecture == "topk" else None,
        hook_name=name,
        metadata={"training_architecture": architecture},
    )
    dictionary = Dictionary(config, seed=seed)
    with torch.no_grad():
        dictionary.b_dec.copy_(scale * sample.mean(0))
    optimiser = torch.optim.Adam(dictionary.parameters(), lr=lr, betas=(0.9, 0.999))
    sparsity, revival = Sparsity(architecture, k, l1), Revival(d_sae, dead_after, seed)
    kept: list[list[float]] = []
    logged = sorted({*range(0, steps, max(1, steps // 100)), steps - 1})
    for step in tqdm(range(steps), desc="dictionary", disable=not progress):
        optimiser.param_groups[0]["lr"] = lr * min(1.0, (steps - step) / max(1, steps / 5))
        x = scale * _batch(activations, batch_size, seed, step)
        done = sparsity.step(dictionary, x, min(1.0, (step + 1) / max(1, steps / 20)), revival.dead)
        optimiser.zero_grad(set_to_none=True)
        done.loss.backward()
        sparsity.before_update(dictionary)
        optimiser.step()
        sparsity.after_update(dictionary, done)
        revival.see(done.features)
        if architecture == "standard" and step + 1 in (steps // 4, steps // 2):
            revival.resample(dictionary, optimiser, x)
        if step in logged:
            kept.append(_measured(done, x, revival))
    _in_own_units(dictionary, scale)
    history = Result(
        torch.tensor(kept).T,
        ("measure", "step"),
        {"measure": MEASURES, "step": tuple(logged)},
        provenance={
            "metric": "training",
            "seed": seed,
            "scale": scale,
            "architecture": architecture,
            "l1": l1,
            "k": k,
        },
    )
    return Trained(dictionary, history, _warnings(kept[-1], d_sae))


@torch.no_grad()
def _in_own_units(dictionary: Dictionary, scale: float) -> None:
    """Weights for `x` of those for `scale * x`: everything in them is of the first degree in x."""
    for name, weight in dictionary.named_parameters():
        if name.startswith("b_") or name == "threshold":
            weight.div_(scale)
    if dictionary.config.architecture != "topk":
        dictionary.fold_decoder_norms()


def _batch(activations: Activations, size: int, seed: int, step: int) -> Float[Tensor, "row d"]:
    draw = seeds.generator(seed, "batch", step)
    rows = torch.randint(len(activations), (min(size, len(activations)),), generator=draw)
    return activations[rows].float()


@torch.no_grad()
def _measured(done: Step, x: Tensor, revival: Revival) -> list[float]:
    explained = 1 - (done.output - x).pow(2).sum() / (x - x.mean(0)).pow(2).sum()
    active = (done.features != 0).sum(-1).float().mean()
    return [done.loss.item(), done.error.item(), active.item(), explained.item(), float(revival.dead.sum())]


def _warnings(last: list[float], d_sae: int) -> tuple[str, ...]:
    values = dict(zip(MEASURES, last, strict=True))
    texts: list[str] = []
    if values["dead"] > 0.1 * d_sae:
        texts.append(f"{values['dead']:.0f} of {d_sae} features are dead: take fewer, or a smaller l1")
    if values["l0"] < 0.5:
        texts.append(f"only {values['l0']:.2g} features are active at once: take a smaller l1")
    if values["l0"] > 0.5 * d_sae:
        texts.append(f"{values['l0']:.0f} of {d_sae} features are active at once: take a larger l1")
    return tuple(texts)


def _require(
    activations: Activations, d_sae: int, architecture: str, k: int | None, steps: int, batch_size: int
) -> None:
    require_choice("architecture", architecture, ("standard", "topk", "batchtopk"))
    if (architecture == "standard") != (k is None):
        raise InputError(
            wanted='k for "topk" and "batchtopk", and none for "standard"',
            got=f"k={k} for {architecture!r}",
            remedy="give the number of active features, or leave it out",
        )
    shape = tuple(activations.shape)
    if len(shape) != 2 or not shape[0] or min(d_sae, steps, batch_size) < 1:
        raise InputError(
            wanted="activations [token, d], and sizes of one or more",
            got=f"shape {shape}, d_sae {d_sae}, steps {steps}, batch_size {batch_size}",
            remedy="flatten samples and positions; of a site of heads take one head, or flatten them too",
        )
