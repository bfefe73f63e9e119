"""What must hold of any model: the functions behind `unweave.analysis.check`."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Int
from torch import Tensor

from unweave.analysis.direct_logits import direct_logit_attribution
from unweave.core.hooks import HookFunction, HookPoint
from unweave.core.sites import block_site, mlp_site
from unweave.engine.inputs import Inputs
from unweave.engine.intervene import intervene
from unweave.engine.metrics import LogitDifference
from unweave.engine.site import Site
from unweave.engine.sweep import sweep
from unweave.model.kv_cache import KeyValueCache
from unweave.model.transformer import HookedTransformer

# Integrated attribution sums to the effect up to this part of it.
COMPLETE = 0.02
# Into how many pieces the way from one run to the other is cut, how narrow the last ones may be, and from how many on
# it is given up if half of the difference at first is still spread over pieces as wide as this.
PIECES, FEW = 64, 16
SPREAD = 2**-4
NARROWEST = 2**-8
# Sites that pass a tensor on unchanged from where all of a layer's input lies.
STREAMS = ("resid_pre", "resid_mid", "resid_post")


class Skipped(Exception):
    """There is nothing to check; the message says why."""


@dataclass(frozen=True)
class Case:
    """A model, and two runs over it."""

    model: HookedTransformer
    tokens: Int[Tensor, "sample pos"]
    others: Int[Tensor, "sample pos"]

    def inputs(self, tokens: Tensor) -> Inputs:
        """With types where the config has any."""
        return Inputs(tokens, None, torch.zeros_like(tokens) if self.model.cfg.n_token_types else None)

    @property
    def clean(self) -> Inputs:
        return self.inputs(self.tokens)

    @property
    def other(self) -> Inputs:
        return self.inputs(self.others)

    def logits(self, inputs: Inputs) -> Tensor:
        """Of a plain run."""
        with torch.no_grad():
            return self.model(inputs.tokens, **inputs.others)

    def has(self, site: str) -> bool:
        """Whether every layer has the site."""
        names = self.model.hook_dict
        return all(f"blocks.{layer}.{site}" in names for layer in range(self.model.cfg.n_layers))


# What each check gives: pairs that must be equal, and what they are.
Pairs = list[tuple[str, Tensor, Tensor]]


def identity(case: Case) -> Pairs:
    """Each family of hooks, in all layers at once, is given what it has."""
    plain = case.logits(case.clean)
    pairs: Pairs = []
    for name in _families(case.model):
        patched = intervene(
            case.model,
            case.clean,
            Site(name).interchange(case.clean),
            allow_equal=True,
        )
        pairs.append((name, patched.logits, plain))
    return pairs


def everything(case: Case) -> Pairs:
    """The stream of any layer, or all that was written to it, taken from another run gives that run's logits."""
    wanted, model = case.logits(case.other), case.model
    pairs: Pairs = []
    for site in (name for name in STREAMS if case.has(f"hook_{name}")):
        for layer in range(model.cfg.n_layers):
            if site == "resid_mid" and model.cfg.parallel_attn_mlp:
                continue
            patch = Site(site, layer).interchange(case.other)
            pairs.append(
                (f"{site} {layer}", intervene(model, case.clean, patch, allow_equal=True).logits, wanted)
            )
    # What positions and types write is the same in both runs.
    mlps = [] if model.cfg.attn_only else ["mlp_out"]
    for what, sites in (("all that is written", ["attn_out", *mlps]), ("embeddings and all heads", ["z"])):
        patches = [Site(name).interchange(case.other) for name in ("hook_embed", *sites)]
        pairs.append((what, intervene(model, case.clean, patches, allow_equal=True).logits, wanted))
    return pairs


def contributions(case: Case) -> Pairs:
    """Shares of heads, MLPs, embeddings and biases sum to a difference of logits."""
    model = case.model
    if model.cfg.norm_position == "stream":
        raise Skipped("the stream is normed after every addition: nothing written to it adds up")
    if model.cfg.output_logits_soft_cap > 0:
        raise Skipped("logits are soft-capped: contributions sum to what they are before")
    logits = case.logits(case.clean)
    right, wrong = _two_tokens(logits)
    rows = torch.arange(len(logits), device=logits.device)
    wanted = logits[rows, -1, right] - (0 if wrong is None else logits[rows, -1, wrong])
    pairs: Pairs = []
    for by in ("component", "head"):
        shares = direct_logit_attribution(model, case.clean, right, wrong, by=by).per_sample
        assert shares is not None
        pairs.append((f"by {by}", shares.sum(0), wanted.cpu()))
    return pairs


def prefix_reuse(case: Case) -> Pairs:
    """Keys and values of a prefix, and sweeps that begin late, give what full runs do."""
    full = case.logits(case.clean)
    return [*_in_two_parts(case, full), *_from_each_layer(case, full)]


def _in_two_parts(case: Case, full: Tensor) -> Pairs:
    """The second half of the positions, over the first half's keys and values."""
    model, n_pos = case.model, case.tokens.shape[1]
    if model.cfg.attention_dir != "causal" or n_pos < 2:
        return []
    past = KeyValueCache.init_cache(model.cfg, model.W_E.device, len(case.tokens))
    types = case.clean.others["token_type_ids"]
    with torch.no_grad():
        parts = [
            model(
                case.tokens[:, part],
                past_kv_cache=past,
                token_type_ids=None if types is None else types[:, part],
            )
            for part in (slice(0, n_pos // 2), slice(n_pos // 2, None))
        ]
    return [("keys and values", torch.cat(parts, 1), full)]


def _from_each_layer(case: Case, full: Tensor) -> Pairs:
    """A sweep over the last position's stream, beside a whole run for each layer."""
    model, (right, wrong) = case.model, _two_tokens(full)
    if wrong is None:
        # One logit has no difference to sweep with.
        return []
    swept = sweep(
        model,
        case.clean,
        (Site("resid_pre", pos=[case.tokens.shape[1] - 1]), "layer"),
        source=case.other,
        metric=LogitDifference(right, wrong),
        controls=0,
        allow_equal=True,
    ).per_sample
    assert swept is not None
    there = model.run_with_cache(
        case.others,
        names_filter=lambda name: name.endswith("resid_pre"),
        return_type=None,
        **case.other.others,
    )[1]

    def put(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
        return torch.cat([tensor[:, :-1], there[hook.name][:, -1:]], 1)

    pairs: Pairs = []
    rows = torch.arange(len(full), device=full.device)
    for layer in range(model.cfg.n_layers):
        hooks = [(block_site(layer, "resid_pre"), put)]
        with torch.no_grad():
            logits = model.run_with_hooks(case.tokens, fwd_hooks=hooks, **case.clean.others)
        wanted = logits[rows, -1, right] - logits[rows, -1, wrong]
        pairs.append((f"a sweep from layer {layer} on", swept[layer], wanted.cpu()))
    return pairs


def linearised(case: Case) -> Pairs:
    """With patterns and norms' scales frozen and MLPs replaced by straight lines, the first order is all there is."""
    model = case.model
    if model.cfg.output_logits_soft_cap > 0:
        raise Skipped("logits are soft-capped: no choice of hooks makes them linear")
    if model.cfg.clip_qkv is not None:
        raise Skipped("queries, keys and values are clipped: no choice of hooks makes that linear")
    logits = case.logits(case.clean)
    right, wrong = _two_tokens(logits)
    if wrong is None:
        raise Skipped("one logit has no difference to measure")
    given: dict[str, Any] = {
        "over": ("z", "layer", "head"),
        "source": case.other,
        "metric": LogitDifference(right, wrong),
        "controls": 0,
        "allow_equal": True,
    }
    with model.hooks(_straight(case)):
        exact = sweep(model, case.clean, **given)
        estimate = sweep(model, case.clean, **given, method="attribution", recheck=0)
    return [("heads", estimate.effect_per_sample, exact.effect_per_sample)]


def complete(case: Case) -> Pairs:
    """Integrated attributions of a layer's positions sum to the effect of patching it whole.

    The way to the other run is cut in two wherever the two differ most, until they agree: that
    follows attention and neurons that switch on the way. Where what differs is left in pieces too
    narrow to be cut again, the metric jumps there, and no quadrature can tell; a gradient that stops
    on the way differs in wide ones as well.
    """
    right, wrong = _two_tokens(case.logits(case.clean))
    if wrong is None:
        raise Skipped("one logit has no difference to measure")
    metric, layer = LogitDifference(right, wrong), case.model.cfg.n_layers // 2
    name = block_site(layer, "resid_pre")
    first = _piece(case, name, metric, 0.0, 1.0)
    pieces, small = [first], 1e-3 * float(first.clean.abs().max())
    while True:
        found, whole = (
            torch.stack(parts).sum(0) for parts in zip(*((p.found, p.whole) for p in pieces), strict=True)
        )
        size = max(float(whole.abs().max()), small)
        error = float((found - whole).abs().max()) / size
        wide = [piece for piece in pieces if piece.width > NARROWEST]
        jumps = sum(piece.error for piece in wide) <= COMPLETE * size
        # Written so that nan is given up too.
        spread = sum(piece.error for piece in pieces if piece.width >= SPREAD)
        stuck = len(pieces) >= FEW and not spread <= first.error / 2
        if error <= COMPLETE or jumps or stuck or not math.isfinite(error) or len(pieces) >= PIECES:
            break
        worst = max(wide, key=lambda piece: piece.error)
        pieces.remove(worst)
        middle = (worst.start + worst.end) / 2
        pieces += [_piece(case, name, metric, *ends) for ends in ((worst.start, middle), (middle, worst.end))]
    if error > COMPLETE and jumps:
        raise Skipped(
            f"the metric jumps, by {error * size:.2g} within pieces of {NARROWEST:g} of the way at resid_pre {layer}: "
            "attention or neurons are saturated on both sides, and no quadrature follows that"
        )
    # Compared as values, so that an effect of nothing has a size too.
    return [
        (f"resid_pre {layer}, the way in {len(pieces)} pieces", (found - whole) / size + 1.0, torch.ones(()))
    ]


@dataclass(frozen=True)
class Piece:
    """A piece of the way, from `start` to `end`.

    Args:
        clean: the metric at its start, `[sample]`.
        found, whole: what it changes that by attribution, and as measured.
    """

    start: float
    end: float
    clean: Tensor
    found: Tensor
    whole: Tensor

    @property
    def width(self) -> float:
        """Its part of the way."""
        return self.end - self.start

    @property
    def error(self) -> float:
        """How far the two are apart."""
        return float((self.found - self.whole).abs().max())


def _piece(case: Case, name: str, metric: LogitDifference, start: float, end: float) -> Piece:
    here, there = (
        case.model.run_with_cache(run.tokens, names_filter=name, return_type=None, **run.others)[1][name]
        for run in (case.clean, case.other)
    )
    given: dict[str, Any] = {"metric": metric, "controls": 0, "allow_equal": True}
    source = {name: here + end * (there - here)}
    # A piece begins where this hook puts the run.
    with case.model.hooks([(name, _put(here + start * (there - here)))] if start else []):
        whole = sweep(case.model, case.clean, {"all": Site(name).interchange(source)}, **given)
        found = sweep(
            case.model,
            case.clean,
            (name, "pos"),
            source=source,
            **given,
            method="integrated",
            steps=16,
            recheck=0,
        )
    effects = (result.effect_per_sample.sum(0) for result in (found, whole))
    return Piece(start, end, whole.baselines["clean"], *effects)


# In the order in which they are run and told.
CHECKS: dict[str, Callable[[Case], Pairs]] = {
    "the identity patch changes nothing": identity,
    "patching everything gives the other run": everything,
    "contributions sum to logits": contributions,
    "prefix reuse equals the full run": prefix_reuse,
    "attribution is exact on a linearised model": linearised,
    "integrated attribution is complete": complete,
}


def relative_error(got: Tensor, wanted: Tensor) -> float:
    """The largest difference, as part of the largest number wanted; nan counts as infinite."""
    got, wanted = got.detach().double(), wanted.detach().double()
    worst, size = (got - wanted).abs().max().item(), wanted.abs().max().item()
    if math.isnan(worst):
        return math.inf
    return worst / size if size else (0.0 if worst == 0 else math.inf)


def _families(model: HookedTransformer) -> list[str]:
    """The hooks of an ordinary run, those that differ in their layer alone once."""
    last = f"blocks.{model.cfg.n_layers - 1}."
    found: list[str] = []
    for point in model.points(None):
        name = point.name
        shaped = ".experts." in name or name.endswith(("rel_pos_hook", "expert_indices", "hook_rot_k"))
        outer = not name.startswith("blocks.") and not name.startswith(("ln_final.", "unembed."))
        if not shaped and (name.startswith(last) or outer):
            found.append(name.removeprefix(last))
    return found


def _two_tokens(logits: Tensor) -> tuple[Tensor, Tensor | None]:
    """Each sample's likeliest token at the last position, and its least likely one; None if there is one."""
    last = logits[:, -1]
    return last.argmax(-1), None if last.shape[-1] == 1 else last.argmin(-1)


def _straight(case: Case) -> Sequence[tuple[str, HookFunction]]:
    """Hooks under which the model is affine in what its heads write."""
    model = case.model
    frozen = [name for name in model.hook_dict if name.endswith((".hook_scale", ".hook_pattern"))]
    frozen = [name for name in frozen if not model.hook_dict[name].on_demand]
    experts = bool(model.cfg.num_experts)
    mlps = [] if model.cfg.attn_only else list(range(model.cfg.n_layers))
    kept = [mlp_site(layer, site) for layer in mlps for site in ("pre", "post")] if not experts else []
    outputs = [f"blocks.{layer}.hook_mlp_out" for layer in mlps] if experts else []
    with torch.no_grad():
        _, cache = model.run_with_cache(
            case.tokens,
            names_filter=[*frozen, *kept, *outputs],
            return_type="logits",
            return_cache_object=False,
            **case.clean.others,
        )
    hooks: list[tuple[str, HookFunction]] = [(name, _put(cache[name])) for name in [*frozen, *outputs]]
    for layer in mlps if not experts else []:
        pre, post = mlp_site(layer, "pre"), mlp_site(layer, "post")
        seen: list[Tensor] = []
        hooks += [(pre, _see(seen)), (post, _line(seen, cache[pre], cache[post]))]
    return hooks


def _put(value: Tensor) -> HookFunction:
    def put(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
        # Several patches run as one batch of samples.
        return value.repeat(len(tensor) // len(value), *[1] * (value.ndim - 1))

    return put


def _see(seen: list[Tensor]) -> HookFunction:
    def see(tensor: Tensor, /, *, hook: HookPoint) -> None:
        seen[:] = [tensor]

    return see


def _line(seen: list[Tensor], pre: Tensor, post: Tensor) -> HookFunction:
    def line(tensor: Tensor, /, *, hook: HookPoint) -> Tensor:
        # Any slope will do; a gated MLP's other factor is frozen with it.
        return post + 0.5 * (seen.pop() - pre)

    return line
