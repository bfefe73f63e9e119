"""The tokens at which features are most active, read from a store."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.analysis.features.dictionary import Dictionary
from unweave.analysis.store import Store
from unweave.core.errors import InputError


@dataclass(frozen=True, eq=False)
class Examples:
    """The largest activations of some features, the largest first.

    Args:
        features: their numbers.
        values: 0 where a feature is active at fewer tokens.
        rows: of the store; `store.samples[rows[0]]`, `store.positions[...]`, `store.rows_of(sample)` lead to
            the context.
        tokens, samples, positions: of these rows.
    """

    features: tuple[int, ...]
    values: Float[Tensor, "feature k"]
    rows: Int[Tensor, "feature k"]
    tokens: Int[Tensor, "feature k"]
    samples: Int[Tensor, "feature k"]
    positions: Int[Tensor, "feature k"]


@torch.no_grad()
def max_activating(
    store: Store,
    dictionary: Dictionary,
    features: Sequence[int],
    k: int = 10,
    *,
    site: str | None = None,
    batch_size: int = 4096,
) -> Examples:
    """Where each of `features` is most active in a store, in one pass over it.

    Only what is at the top is shown: what a feature does at the rest of its tokens may be another
    thing (Bolukbasi et al., 2021, arXiv:2104.07143). Look at some at random as well.

    Args:
        site: the store's; None is the one that the dictionary reads.

    Raises:
        InputError: for features or a site that aren't there.
    """
    wrong = [feature for feature in features if not 0 <= feature < dictionary.config.d_sae]
    name = dictionary.config.hook_name if site is None else site
    if wrong or not features or k < 1 or name is None:
        raise InputError(
            wanted=f"features from 0 to {dictionary.config.d_sae - 1}, k of one or more, and a site",
            got=f"features {list(features)}, k {k}, site {name}",
            remedy="name features of this dictionary",
        )
    store[name]
    chosen, k = torch.tensor(features), min(k, len(store))
    values = torch.full((len(features), 0), 0.0)
    rows = torch.zeros(len(features), 0, dtype=torch.long)
    for batch in store.batches(batch_size, sites=[name]):
        found = dictionary.encode(batch[name].to(dictionary.W_enc.device))[:, chosen].float().cpu().T
        values = torch.cat([values, found], 1)
        rows = torch.cat([rows, batch.rows.expand(len(features), -1)], 1)
        # Of equal ones, those that come first in the store.
        order = values.argsort(dim=1, descending=True, stable=True)[:, :k]
        values, rows = values.gather(1, order), rows.gather(1, order)
    flat = rows.flatten()
    told = [column[flat].long().view_as(rows) for column in (store.tokens, store.samples, store.positions)]
    return Examples(tuple(features), values, rows, *told)
