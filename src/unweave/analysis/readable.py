"""What a probe is fitted to and judged on: items, their labels and token types, and a split by sequence."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import torch
from jaxtyping import Bool, Float, Int, Shaped
from torch import Tensor

from unweave.analysis.activations import positions_of
from unweave.analysis.linear import fit_logistic, fit_ridge
from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.engine.inputs import Inputs
from unweave.engine.site import Site


@dataclass(frozen=True)
class Items:
    """One row an item: a position of a sequence that has a label.

    Args:
        label: classes from 0, or numbers.
        type: the token's (or whatever control labels hang on), from 0.
        sequence: which sequence it is of; copies of one are one.
        fitted: whether it is for fitting; the others are held out.
        place: which row of the gathered activations it is.
        n_classes: 0 for numbers.
    """

    label: Shaped[Tensor, " n"]
    type: Int[Tensor, " n"]
    sequence: Int[Tensor, " n"]
    fitted: Bool[Tensor, " n"]
    place: Int[Tensor, " n"]
    n_classes: int

    def labelled(self, label: Shaped[Tensor, " n"]) -> Items:
        """These with other labels."""
        return replace(self, label=label)

    def control(self, seed: int) -> Items:
        """Each type's own random label, the same wherever it stands: only memory of types gets it right.

        Labels are drawn with the frequencies that the true ones have. (Hewitt and Liang, 2019,
        arXiv:1909.03368.)
        """
        draw = seeds.generator(seed, "control task")
        known = self.label[self.fitted]
        drawn = known[torch.randint(len(known), (int(self.type.max()) + 1,), generator=draw)]
        return self.labelled(drawn[self.type])

    def shuffled(self, seed: int) -> Items:
        """The labels of the items to fit in another order: what a probe makes of nothing."""
        draw, label = seeds.generator(seed, "shuffled labels"), self.label.clone()
        known = label[self.fitted]
        label[self.fitted] = known[torch.randperm(len(known), generator=draw)]
        return self.labelled(label)

    def scores(
        self, x: Float[Tensor, "n d"], penalty: float
    ) -> tuple[Float[Tensor, " sequence"], float, Float[Tensor, "d k"]]:
        """Each held-out sequence's score, the score on what was fitted, and the probe's weights.

        The share of right classes; or R squared, whose squares are in units of the variance of the
        held-out labels, so that it is a mean over items too.
        """
        if self.n_classes:
            probe = fit_logistic(x[self.fitted], self.label[self.fitted], self.n_classes, penalty)
            right = (probe(x).argmax(-1) == self.label).double()
        else:
            label = self.label.double()
            probe = fit_ridge(x[self.fitted], label[self.fitted, None], penalty)
            right = self._explained(label, probe(x).squeeze(-1))
        return self.by_sequence(right), right[self.fitted].mean().item(), probe.weight

    def constant(self) -> Float[Tensor, " sequence"]:
        """Each held-out sequence's score of the best answer that doesn't look: the majority class, or the mean."""
        known = self.label[self.fitted]
        if self.n_classes:
            return self.by_sequence((self.label == known.mode().values).double())
        label = self.label.double()
        return self.by_sequence(self._explained(label, label[self.fitted].mean().expand_as(label)))

    def by_sequence(self, score: Float[Tensor, " n"]) -> Float[Tensor, " sequence"]:
        """The mean over each held-out sequence's items."""
        held = ~self.fitted
        _, at = self.sequence[held].unique(return_inverse=True)
        total = torch.zeros(int(at.max()) + 1, dtype=torch.float64).index_add(0, at, score[held].double())
        return total / at.bincount()

    def types_seen(self) -> float:
        """The share of held-out items whose type occurs among those that were fitted."""
        return torch.isin(self.type[~self.fitted], self.type[self.fitted]).double().mean().item()

    def _explained(self, label: Tensor, said: Tensor) -> Tensor:
        out = torch.empty_like(label)
        for part in (self.fitted, ~self.fitted):
            variance = label[part].var(correction=0).item()
            out[part] = 1.0 - (label[part] - said[part]).pow(2) / (variance or math.nan)
        return out


def items_of(
    inputs: Inputs,
    site: Site,
    labels: Tensor,
    types: Tensor | None,
    held_out: float,
    seed: int,
) -> Items:
    """The items of a probe at `site`. See `unweave.analysis.probing.probe` for the arguments.

    Raises:
        InputError: for labels of another shape, too few sequences, or a single class.
    """
    where = positions_of(site, inputs)
    label, tokens = _aligned("labels", labels, where, inputs), inputs.tokens.cpu()
    type_ = tokens.gather(1, where) if types is None else _aligned("types", types, where, inputs)
    regression = label.is_floating_point()
    kept = ~label.isnan() if regression else label >= 0
    if inputs.attention_mask is not None:
        kept = kept & inputs.attention_mask.cpu().bool().gather(1, where)
    # Copies of a sequence are one: on one side of the split, and one sample in an interval.
    sequence = tokens.unique(dim=0, return_inverse=True)[1][:, None].expand_as(where)[kept]
    fitted = _fitted(sequence, held_out, seed)
    label, n_classes = label[kept], 0
    if not regression:
        classes, label = label.unique(return_inverse=True)
        n_classes = len(classes)
    if len(label[fitted].unique()) < 2:
        raise InputError(
            wanted="two classes or more among the items to fit" if n_classes else "labels that vary",
            got=f"{len(label[fitted])} items, all labelled the same",
            remedy="pass more sequences, or other labels",
        )
    place = torch.arange(where.numel()).view_as(where)[kept]
    return Items(label, type_[kept].unique(return_inverse=True)[1], sequence, fitted, place, n_classes)


def _aligned(what: str, given: Tensor, where: Tensor, inputs: Inputs) -> Tensor:
    given, wanted = given.detach().cpu(), tuple(where.shape)
    if given.ndim == 1 and len(given) == len(where):
        return given[:, None].expand(wanted)
    if given.shape == wanted:
        return given
    if given.shape == inputs.tokens.shape:
        return given.gather(1, where)
    raise InputError(
        wanted=f"{what} [{len(where)}], one a sample, {tuple(inputs.tokens.shape)}, or {wanted}, one a position read",
        got=f"shape {tuple(given.shape)}",
        remedy="give each item one: a class (whole numbers, -1 for none) or a number (NaN for none)",
    )


def _fitted(sequence: Int[Tensor, " n"], held_out: float, seed: int) -> Bool[Tensor, " n"]:
    """Which items are for fitting: all those of some sequences."""
    groups = sequence.unique()
    n_held = max(round(held_out * len(groups)), 2)
    if not 0.0 < held_out < 1.0 or len(groups) - n_held < 2:
        raise InputError(
            wanted="at least 4 different sequences to probe, and a share between 0 and 1 of them to hold out",
            got=f"{len(groups)} sequences, held_out={held_out}",
            remedy="pass more sequences",
        )
    order = torch.randperm(len(groups), generator=seeds.generator(seed, "held out"))
    return ~torch.isin(sequence, groups[order[:n_held]])
