"""Where a store's rows come from: runs of a model, its sites, and which of the positions are kept."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from unweave.analysis.store.rows import Rows
from unweave.analysis.store.shards import ATTENDED, POSITIONS, SAMPLES, TOKENS
from unweave.core.errors import InputError
from unweave.engine.base import Foreign, Ruler, undisturbed
from unweave.engine.layout import SCORES, dims_of, layer_of
from unweave.engine.site import Site
from unweave.model.transformer import HookedTransformer

Sites = str | Site | Sequence[str | Site]


@dataclass(frozen=True, eq=False)
class Tap:
    """Gives the rows of each sample.

    Args:
        names: of the hooks.
        dtype: of the numbers that are kept.
        padding, exclude: see `write`.
    """

    model: HookedTransformer
    names: tuple[str, ...]
    dtype: torch.dtype
    padding: str
    exclude: tuple[int, ...]

    @classmethod
    def on(
        cls,
        model: HookedTransformer,
        sites: Sites,
        dtype: torch.dtype | None,
        padding: str,
        exclude: tuple[int, ...],
    ) -> Tap:
        """Find the sites.

        Raises:
            HookError: for a site that the model doesn't have.
            InputError: for one that isn't a vector a token, one of which a part is chosen, a dtype
                that isn't of real numbers, or hooks on the model.
        """
        if Foreign.of(model).first is not None:
            raise InputError(
                wanted="a model without hooks, whose activations are those of its weights",
                got="hooks on it",
                remedy="take them off with model.reset_hooks()",
            )
        listed = [sites] if isinstance(sites, str | Site) else list(sites)
        names = tuple(dict.fromkeys(name for site in listed for name in _names(site, model)))
        if not names:
            raise InputError(wanted="at least one site", got="none", remedy='write sites="resid_post", say')
        dtype = model.W_E.dtype if dtype is None else dtype
        if not dtype.is_floating_point:
            raise InputError(
                wanted="a dtype of real numbers", got=str(dtype), remedy="write dtype=torch.float16, say"
            )
        return cls(model, names, dtype, padding, exclude)

    @torch.no_grad()
    def shapes(self) -> dict[str, list[int]]:
        """The shape of one token's activation at each site."""
        found: dict[str, tuple[int, ...]] = {}
        with undisturbed(self.model), self.model.hooks([(name, Ruler(found)) for name in self.names]):
            self._run(torch.zeros(1, 1, dtype=torch.long, device=self.model.W_E.device))
        return {name: list(found[name][2:]) for name in self.names}

    @torch.no_grad()
    def columns(self, rows: Rows) -> Iterator[dict[str, Tensor]]:
        """The columns of each sample's rows, from one run of all of them."""
        device = self.model.W_E.device
        inputs = rows.inputs
        others = {n: None if t is None else t.to(device) for n, t in inputs.others.items()}
        with undisturbed(self.model), self.model.recording(self.names) as kept:
            self._run(inputs.tokens.to(device), **others)
        kept = {name: self._stored(name, kept[name]) for name in self.names}
        mask = inputs.attention_mask
        attended = torch.ones_like(inputs.tokens, dtype=torch.bool) if mask is None else mask.bool()
        wanted = attended.cpu() if self.padding == "skip" else torch.ones_like(attended.cpu())
        wanted &= ~torch.isin(inputs.tokens.cpu(), torch.tensor(self.exclude, dtype=torch.long))
        for row, number in enumerate(rows.numbers):
            positions = wanted[row].nonzero()[:, 0]
            columns = {name: kept[name][row, positions.to(device)].cpu() for name in self.names}
            columns[TOKENS] = inputs.tokens[row].cpu()[positions].int()
            columns[SAMPLES] = torch.full_like(positions, number)
            columns[POSITIONS] = positions.int()
            if self.padding == "keep":
                columns[ATTENDED] = attended[row].cpu()[positions]
            yield columns

    def _run(self, tokens: Tensor, **others: Tensor | None) -> None:
        """As much of a run as the sites need."""
        n_layers = self.model.cfg.n_layers
        last = max(layer_of(name, n_layers) for name in self.names)
        kind = "logits" if any(name.startswith("unembed.") for name in self.names) else None
        self.model(tokens, kind, stop_at_layer=last + 1 if last < n_layers else None, **others)

    def _stored(self, name: str, tensor: Tensor) -> Tensor:
        """In the dtype of the store.

        Raises:
            InputError: if there are numbers that it can't hold.
        """
        stored = tensor.to(self.dtype)
        if not bool(stored.isfinite().all()):
            largest = tensor.abs().max().item()
            raise InputError(
                wanted=f"finite numbers at {name}, as {self.dtype}",
                got=f"some as large as {largest:.4g}",
                remedy="store as torch.bfloat16 or torch.float32, or see why the model gives such numbers",
            )
        return stored


def _names(site: str | Site, model: HookedTransformer) -> list[str]:
    site = Site(site) if isinstance(site, str) else site
    chosen = [
        name for name, index in {**site.index, "direction": site.direction}.items() if index is not None
    ]
    if chosen:
        raise InputError(
            wanted="whole sites, of which a part can be chosen when they are read",
            got=f"a site with {chosen[0]}",
            remedy=f"leave {chosen[0]} out",
        )
    names = site.hooks(model)
    for name in names:
        if dims_of(name) in (None, SCORES):
            raise InputError(
                wanted="sites with one entry for each sample and position",
                got=name,
                remedy="store what attention reads and writes (q, k, v, z), from which scores can be made again",
            )
    return names
