"""The runs that interventions take values from: each is made once, for all who ask."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.errors import InputError
from unweave.engine.inputs import Inputs, Source, as_source
from unweave.engine.layout import dims_of
from unweave.engine.operations import From, Per
from unweave.model.transformer import HookedTransformer

# Samples that are run at once for a mean: all activations of many would not fit into memory.
CHUNK = 64


class Runs:
    """Activations of other runs, and of the run itself without interventions, by hook.

    What will be asked for is announced by `want`, so that a run is made once; hooks that the user
    has on the model act in it. Nothing is kept beyond this object.
    """

    def __init__(self, model: HookedTransformer, base: Inputs) -> None:
        self.model, self.base = model, base
        self._sources: dict[int, From | None] = {}
        self._wanted: dict[tuple[int, Per | None], list[str]] = defaultdict(list)
        self._made: dict[tuple[int, Per | None], Mapping[str, Tensor]] = {}

    def want(self, source: From | None, name: str, reduced: Per | None = None) -> None:
        """Announce that this activation (or its mean) will be asked for."""
        self._sources[id(source)] = source
        names = self._wanted[id(source), reduced]
        if name not in names:
            names.append(name)

    @torch.no_grad()
    def get(self, source: From | None, name: str, reduced: Per | None = None) -> Float[Tensor, "..."]:
        """One activation of `source` (None: of the run itself), or its mean with dimensions of 1."""
        key = id(source), reduced
        if key not in self._made:
            given = self.base if source is None else as_source(source, self.base)
            names = self._wanted[key]
            if reduced is None:
                self._made[key] = self._activations(given, names)
            else:
                self._made[key] = self._means(given, names, reduced)
        return self._made[key][name]

    def _activations(self, source: Source, names: Iterable[str]) -> dict[str, Tensor]:
        if isinstance(source, Inputs):
            _, kept = self.model.run_with_cache(
                source.tokens,
                names_filter=list(names),
                # Without logits the unembedding isn't run.
                return_type="logits" if any(name.startswith("unembed.") for name in names) else None,
                return_cache_object=False,
                **source.others,
            )
            return kept
        return {name: _cached(source, name, self.model) for name in names}

    def _means(self, source: Source, names: list[str], per: Per) -> dict[str, Tensor]:
        if not isinstance(source, Inputs):
            return {
                name: _mean(_sums(tensor, name, None, per), tensor.dtype)
                for name, tensor in self._activations(source, names).items()
            }
        sums: dict[str, tuple[Tensor, Tensor]] = {}
        dtypes: dict[str, torch.dtype] = {}
        for start in range(0, len(source.tokens), CHUNK):
            some = source.of(slice(start, start + CHUNK))
            for name, tensor in self._activations(some, names).items():
                added = _sums(tensor, name, some.attention_mask, per)
                before = sums.get(name)
                sums[name] = added if before is None else (before[0] + added[0], before[1] + added[1])
                dtypes[name] = tensor.dtype
        return {name: _mean(pair, dtypes[name]) for name, pair in sums.items()}


def _sums(tensor: Tensor, name: str, mask: Tensor | None, per: Per) -> tuple[Tensor, Tensor]:
    """The sum over samples (and positions) and the number of what was summed, in float64."""
    dims = dims_of(name)
    assert dims is not None
    at = dims.index("pos")
    over = (0,) if per == "position" else (0, at)
    shape = [1] * tensor.ndim
    shape[0], shape[at] = tensor.shape[0], tensor.shape[at]
    counted = torch.ones(tensor.shape[0], tensor.shape[at], device=tensor.device, dtype=torch.float64)
    counted = (counted if mask is None else mask.to(counted)).view(shape)
    if mask is not None:
        # Scores of padding are infinite: they must not become NaN.
        tensor = tensor.masked_fill(counted == 0, 0.0)
    return tensor.sum(over, keepdim=True, dtype=torch.float64), counted.sum(over, keepdim=True)


def _mean(pair: tuple[Tensor, Tensor], dtype: torch.dtype) -> Tensor:
    return (pair[0] / pair[1].clamp_min(1)).to(dtype)


def _cached(cache: Mapping[str, Tensor], name: str, model: HookedTransformer) -> Tensor:
    if name not in cache:
        raise InputError(
            wanted=f"a cache that holds {name}",
            got=f"one of {len(cache)} activations without it",
            remedy="cache that name too, or pass the tokens as the source",
        )
    if getattr(cache, "has_batch_dim", True) is False:
        raise InputError(
            wanted="a cache with its batch dimension",
            got="one without",
            remedy="leave remove_batch_dim out when caching",
        )
    return cache[name].to(model.W_E.device)
