"""Path patching: what one component tells another, on the paths that are meant and no others.

(Wang et al., 2022, "Interpretability in the Wild", arXiv:2211.00593; Goldowsky-Dill et al., 2023,
"Localizing Model Behavior with Path Patching", arXiv:2304.05969.)
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from unweave.analysis.carried import Carrier, Shift, Stream
from unweave.analysis.path_ends import (
    Names,
    Receiver,
    every_receiver,
    grouped,
    receivers_of,
    require_no_chain,
    require_nodes,
    sender_sites,
    through_parts,
)
from unweave.analysis.pitfalls import about_probability
from unweave.core.errors import InputError
from unweave.core.results import Result
from unweave.engine.baselines import normalised
from unweave.engine.edits import require_changed
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.layout import Index
from unweave.engine.metrics import Function, Metric
from unweave.engine.operations import From
from unweave.engine.site import Intervention, Site
from unweave.engine.sweep import sweep
from unweave.model.transformer import HookedTransformer

__all__ = ["every_receiver", "path_patching"]


def path_patching(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    source: From,
    metric: Metric | Function,
    *,
    senders: Names | None = None,
    receivers: Names = "logits",
    through: str | Sequence[str] = (),
    sender_pos: Index = None,
    receiver_pos: Index = None,
    normalise: bool = False,
    controls: int = 1,
    **options: Any,
) -> Result:
    """The metric when receivers, and they alone, hear of senders what these send in another run.

    For each set of senders the model is run with them as in `source`, and with every other head and MLP
    as without (but for `through`, which are computed anew). How that changes the residual stream at a
    receiver is then added to what the receiver reads, and all that follows is computed anew: later
    parts hear of the senders through the receivers only. Norms are always computed anew.

    Args:
        source: the run, or a cache with every sender's site (see `nodes`), that senders are taken from.
        senders: components, as `nodes` names them; several together as a list or under a label. None is
            each component by itself.
        receivers: "a1.h0<q>" (or k, v), "a1.h0" (all three), "m1", "logits"; several together as a list
            or under a label. Where heads share keys and values, those of one head are those of its
            group, "a1.g0<k>". `every_receiver(model)` lists all.
        through: what else may carry the change from senders to receivers: names, "mlps" (Wang et al.
            count MLPs as part of the direct path), "heads", or "all". Nothing: direct paths alone.
        sender_pos: the positions at which senders are as in the source; None is all.
        receiver_pos: the positions at which receivers hear of it; None is all.
        normalise: 0 is the run without patches, 1 the source's, which must be tokens then.
        controls: random changes of the same size for the baseline "random", so many for each sender.
        options: those of `sweep`, such as `attention_mask`, `memory`, `seed` or `progress`.

    Returns:
        Dimensions "sender" and "receiver". Where no sender comes before a receiver there is no such
        path, and the value is that of the run without patches.

    Raises:
        InputError: for names that the model doesn't have, a set in which a sender hears of another one
            through a receiver, or if no receiver would read anything else than it does.
    """
    model = require_model(model)
    if options.get("method", "exact") != "exact":
        raise InputError(
            wanted="path patching as it is, exactly",
            got=f"method={options['method']!r}",
            remedy="leave method out; unweave.edges.attribute estimates direct paths",
        )
    given = {name: options.pop(name, None) for name in ("attention_mask", "token_type_ids")}
    inputs = as_inputs(tokens, **given)
    sites = sender_sites(model, sender_pos)
    groups = grouped(list(sites) if senders is None else senders)
    ends = {label: _distinct(model, names) for label, names in grouped(receivers).items()}
    for group in groups.values():
        require_nodes(group, sites, "senders")
        for reads in ends.values():
            require_no_chain(model, group, reads)
    options = {"allow_equal": True, "metric": metric, **options}
    bare = _without_patches(model, inputs, source, options)
    carrier = Carrier.begun(model, inputs, source, sites, through_parts(model, through))
    rows: list[_Row] = []
    for group in groups.values():
        change = carrier.change(group, [end.reads for reads in ends.values() for end in reads])
        patches = {label: list(_patch(reads, change, receiver_pos)) for label, reads in ends.items()}
        rows.append(_measured(model, inputs, patches, bare, {**options, "controls": controls}))
    require_changed(any(row.changed for row in rows))
    result = _assembled(bare, rows, tuple(groups), tuple(ends))
    told = {"operation": "path patching", "through": sorted(carrier.through), "senders from": _kind(source)}
    warnings = (*_shared(ends), *about_probability(metric, "paths"))
    result = replace(result, provenance={**result.provenance, **told}, warnings=warnings)
    return normalised(result) if normalise else result


@dataclass(frozen=True, eq=False)
class _Row:
    """What one set of senders does to each receiver."""

    values: Tensor
    random: Tensor | None
    changed: bool


def _without_patches(
    model: HookedTransformer, inputs: Inputs, source: From, options: Mapping[str, Any]
) -> Result:
    """The run as it is, and the source's where that is a run, measured at the cost of the last layer."""
    end = Site("resid_post", model.cfg.n_layers - 1)
    if isinstance(source, Tensor | Inputs):
        return sweep(model, inputs, (end, "layer"), source=source, controls=0, **options)
    return sweep(model, inputs, [end.add(0.0)], controls=0, **options)


def _patch(receivers: Sequence[Receiver], change: Mapping[str, Stream], pos: Index) -> Iterator[Intervention]:
    """What is done for one set of receivers, with what reaches none left out."""
    for receiver in receivers:
        if receiver.reads in change:
            delta = change[receiver.reads]
            # One stream for all heads: their own site has one each.
            wide = delta[:, :, None].expand(-1, -1, receiver.width, -1) if receiver.width else delta
            yield Intervention(receiver.site.at(pos=pos), Shift({receiver.hook: wide}))


def _measured(
    model: HookedTransformer,
    inputs: Inputs,
    patches: Mapping[str, list[Intervention]],
    bare: Result,
    options: Mapping[str, Any],
) -> _Row:
    clean = bare.baselines["clean"]
    values = clean.expand(len(patches), *clean.shape).clone()
    touched = [number for number, patch in enumerate(patches.values()) if patch]
    if not touched:
        return _Row(values, None, False)
    found = sweep(model, inputs, [patch for patch in patches.values() if patch], **options)
    values[touched] = found.values if found.per_sample is None else found.per_sample
    return _Row(values, found.baselines.get("random"), True)


def _assembled(
    bare: Result, rows: Sequence[_Row], senders: tuple[str, ...], receivers: tuple[str, ...]
) -> Result:
    values = torch.stack([row.values for row in rows])
    by_sample = values.ndim == 3
    random = [row.random for row in rows if row.random is not None and row.random.numel()]
    baselines = {name: value for name, value in bare.baselines.items() if name != "random"}
    return replace(
        bare,
        values=values.mean(-1) if by_sample else values,
        dims=("sender", "receiver"),
        coords={"sender": senders, "receiver": receivers},
        per_sample=values if by_sample else None,
        baselines=baselines | ({"random": torch.cat(random)} if random else {}),
        provenance={name: fact for name, fact in bare.provenance.items() if name != "plan"},
    )


def _distinct(model: HookedTransformer, names: Sequence[str]) -> list[Receiver]:
    """Each input once: two heads of a group have one and the same keys, which must not hear twice."""
    found = [receiver for name in names for receiver in receivers_of(model, name)]
    return list({(receiver.hook, receiver.site.head): receiver for receiver in found}.values())


def _shared(ends: Mapping[str, Sequence[Receiver]]) -> Iterator[str]:
    for label, receivers in ends.items():
        heads = {receiver.shared for receiver in receivers if receiver.shared}
        if heads and ".g" not in label:
            told = ", ".join(f"{members[0]} to {members[-1]}" for members in sorted(heads))
            yield f"{label}: keys and values are those of a group, and heads {told} read them"


def _kind(source: From) -> str:
    return "a run" if isinstance(source, Tensor | Inputs) else "a cache"
