"""Claim 2: layer 0 counts, through the share of attention that BOS gets."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from unweave.analysis.intervals import estimate
from unweave.analysis.outcomes import Outcome, copied_offsets
from unweave.analysis.positions import bos_share, log_attention_spread, row_entropy
from unweave.core.claims import Check, Estimate, Finding, claim, judge
from unweave.core.hooks import HookFunction, HookPoint
from unweave.experiments.no_position.study import Study
from unweave.tasks import Batch

SCORES, PATTERN, V, Z = (f"blocks.0.attn.hook_{site}" for site in ("attn_scores", "pattern", "v", "z"))
LAYER_1_PATTERN = "blocks.1.attn.hook_pattern"
FIRST = 2  # at position 1 the target is BOS itself

Hooks = Sequence[tuple[str, HookFunction]]


@claim(
    id="layer-0-counts",
    title="Layer 0 counts",
    statement="Layer 0 attends almost uniformly, so that BOS gets a share that falls with the position, and the "
    "layers after it read the position off that share.",
    rivals=(
        "Position is carried by the averaging of more and more values (their mean shrinks), not by BOS.",
        "Layer 0's attention to BOS is incidental: the model tells positions apart by the tokens themselves.",
    ),
    prediction="Without BOS in layer 0 (its key masked, or its value replaced by the mean of the others, or a "
    "random first token) the loss rises by more than 1 nat; the same done to a token in the middle costs "
    "under a quarter of a nat. With BOS's share made the same at every position, layer 1's pattern flattens.",
    threshold="each rise > 1 nat at positions >= 2, each control < 0.25 nats; with equal shares the entropy of "
    "layer 1's rows > 0.9 of a uniform row's. The fit of 1/(1+ci) is no evidence: an untrained model has it too.",
    control="The same changes at the middle position in place of position 0 (and, for the record, at position 1); the "
    "untrained model's c and spread.",
    amended="The control was first declared at position 1, and there two of its three changes cost 0.53 and 0.57 nats "
    "on the quick preset (seed 0), above the 0.25 allowed. A model that counts must suffer there: with one key "
    "fewer, position 2 gets the count of position 1. The middle position was then declared, unmeasured, with the "
    "same 0.25; position 1 stays in the table.",
)
def layer_0_counts(study: Study) -> Finding:
    middle = study.task.n_ctx // 2
    removed = {
        name: _removals(study, key) for name, key in (("BOS", 0), ("middle", middle), ("position 1", 1))
    }
    flat, flat_control = (_layer_1_entropy(study, _equal_share(study, key)) for key in (0, middle))
    clean_entropy = _layer_1_entropy(study, ())
    everything = {f"{key}: {how}": pair for key, ways in removed.items() for how, pair in ways.items()}
    rises = {name: study.rise(result, FIRST) for name, (result, _) in everything.items()}
    checks = (
        *(Check(f"rise, {name}", rise, above=1.0) for name, rise in rises.items() if name.startswith("BOS")),
        Check("entropy of layer 1's rows at equal BOS shares", flat, above=0.9),
        *(
            Check(f"rise, {name}", rise, below=0.25, control=True)
            for name, rise in rises.items()
            if name.startswith("middle")
        ),
    )
    verdict, reason = judge(checks)
    everything = {"clean": (study.clean, study.batch), **everything}
    accuracy = {
        name: estimate(result.hits[:, FIRST - 1 :].mean(1)) for name, (result, _) in everything.items()
    }
    return Finding(
        measured={
            **{f"rise, {name}": rise for name, rise in rises.items() if name.startswith("BOS")},
            "clean loss": estimate(study.clean.loss[:, FIRST - 1 :].mean(1), "nats"),
            **{f"accuracy, {name}": accuracy[name] for name in accuracy if name.startswith(("clean", "BOS"))},
            "entropy of layer 1's rows, clean": clean_entropy,
            "entropy of layer 1's rows at equal BOS shares": flat,
            **_shape("trained", study.cache["pattern", 0]),
        },
        control={
            **{f"rise, {name}": rise for name, rise in rises.items() if not name.startswith("BOS")},
            **{
                f"accuracy, {name}": accuracy[name]
                for name in accuracy
                if not name.startswith(("clean", "BOS"))
            },
            "entropy of layer 1's rows at equal shares of the middle position": flat_control,
            **_shape("untrained", study.untrained_cache["pattern", 0]),
        },
        verdict=verdict,
        reason=reason,
        checks=checks,
        details={
            "copied_offsets": {
                name: copied_offsets(result.logits, batch, study.task.scored, FIRST)
                for name, (result, batch) in everything.items()
            }
        },
    )


def _shape(whose: str, pattern: Tensor) -> dict[str, Estimate]:
    """c, its fit, and the spread of log-attention within a row, of the mean pattern and per sequence."""
    mean = pattern.mean((0, 1))
    fit = bos_share(mean)
    return {
        f"{whose}: c in 1/(1+ci)": Estimate(fit.c),
        f"{whose}: R2 of that fit": Estimate(fit.r2),
        f"{whose}: spread of log-attention, mean pattern": Estimate(log_attention_spread(mean).item()),
        f"{whose}: spread of log-attention, per sequence": estimate(log_attention_spread(pattern[:, 0])),
    }


def _removals(study: Study, key: int) -> dict[str, tuple[Outcome, Batch]]:
    """Three ways of doing without the token at position `key` in layer 0, each with the batch it is scored on."""
    fresh = study.batch.tokens.clone()
    fresh[:, key] = torch.randint(1, study.task.d_vocab, (len(fresh),), generator=study.draw("token", key))
    random_token = study.task.with_targets(fresh)
    return {
        "key masked": (study.outcome([(SCORES, _mask(key))]), study.batch),
        "value of the others": (study.outcome(_others_value(key)), study.batch),
        "random token": (study.outcome(batch=random_token), random_token),
    }


def _mask(key: int) -> HookFunction:
    def mask(scores: Tensor, /, *, hook: HookPoint) -> None:
        scores[:, :, key + 1 :, key] = -math.inf

    return mask


def _others_value(key: int) -> Hooks:
    """Keep the pattern; what it takes from `key` becomes the plain mean of the keys `key + 1 .. query`."""
    seen: dict[str, Tensor] = {}

    def remember(tensor: Tensor, /, *, hook: HookPoint) -> None:
        seen[hook.name] = tensor

    def replace(z: Tensor, /, *, hook: HookPoint) -> None:
        v, weight = seen[V], seen[PATTERN][:, :, key + 1 :, key].transpose(1, 2)[..., None]
        later = v[:, key + 1 :]
        count = torch.arange(1, later.shape[1] + 1, device=v.device)[:, None, None]
        z[:, key + 1 :] += weight * (later.cumsum(1) / count - v[:, key : key + 1])

    return [(V, remember), (PATTERN, remember), (Z, replace)]


def _equal_share(study: Study, key: int) -> Hooks:
    """Give `key` its mean share at every later query; the other keys keep their proportions."""
    share = study.cache["pattern", 0][:, :, key + 1 :, key].mean()

    def equalise(pattern: Tensor, /, *, hook: HookPoint) -> None:
        rows = pattern[:, :, key + 1 :]
        rest = 1.0 - rows[..., key : key + 1]
        rows *= (1.0 - share) / rest.clamp_min(1e-9)
        rows[..., key] = share

    return [(PATTERN, equalise)]


@torch.no_grad()
def _layer_1_entropy(study: Study, hooks: Hooks) -> Estimate:
    with study.model.hooks(fwd_hooks=hooks):
        _, cache = study.model.run_with_cache(
            study.batch.tokens, names_filter=LAYER_1_PATTERN, return_type=None
        )
    return estimate(row_entropy(cache[LAYER_1_PATTERN][:, 0]))
