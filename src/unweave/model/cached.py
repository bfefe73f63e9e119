"""The activations of a run: by full name or shorthand, sliced, moved and copied."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, MutableMapping
from operator import index
from typing import TYPE_CHECKING, SupportsIndex, TypeVar

import torch
from torch import Tensor, nn

from unweave.core.errors import InputError, MissingActivation, nearest
from unweave.core.recorder import require_device
from unweave.core.routed import Routed
from unweave.core.sites import expert_of, get_act_name, is_on_demand
from unweave.core.slices import Slice, SliceInput, as_slice

if TYPE_CHECKING:
    from unweave.model.transformer import HookedTransformer
else:  # transformer.py imports the cache
    HookedTransformer = nn.Module

Cache = TypeVar("Cache", bound="CachedActivations")
Key = str | tuple[str, SupportsIndex | None] | tuple[str, SupportsIndex | None, str | None]


class CachedActivations(Mapping[str, Tensor]):
    """The part of an ActivationCache that needs to know nothing of transformers but their names.

    Attributes:
        cache_dict: the activations, as they were given: not a copy.
        model: the model that they are from, or None.
        has_batch_dim: whether each begins with a batch dimension.
    """

    def __init__(
        self,
        cache_dict: MutableMapping[str, Tensor],
        model: HookedTransformer | None,
        has_batch_dim: bool = True,
    ) -> None:
        self.cache_dict, self.model, self.has_batch_dim = cache_dict, model, has_batch_dim

    def __getitem__(self, key: Key) -> Tensor:
        name = self._full_name(key)
        if name not in self.cache_dict:
            raise MissingActivation(
                wanted="an activation that this run cached",
                got=repr(key),
                remedy="name it in names_filter: it is computed only when it is named"
                if is_on_demand(name)
                else f"nearest: {nearest(name, self.cache_dict)}",
            )
        return self.cache_dict[name]

    def __contains__(self, key: object) -> bool:
        try:
            return self._full_name(key) in self.cache_dict
        except MissingActivation:
            return False

    def __iter__(self) -> Iterator[str]:
        return iter(self.cache_dict)

    def __len__(self) -> int:
        return len(self.cache_dict)

    def __repr__(self) -> str:
        return f"{type(self).__name__} with {len(self)} activations: {', '.join(list(self)[:4])}, ..."

    @property
    def has_embed(self) -> bool:
        """Whether token embeddings were cached."""
        return "hook_embed" in self.cache_dict

    @property
    def has_pos_embed(self) -> bool:
        """Whether positional embeddings were cached."""
        return "hook_pos_embed" in self.cache_dict

    def to(self: Cache, device: torch.device | str) -> Cache:
        """Move every activation to a device, in this very cache; the model stays where it is.

        Raises:
            InputError: for a device that this machine lacks.
        """
        place = require_device(device)
        self.cache_dict = {name: tensor.to(place) for name, tensor in self.cache_dict.items()}
        return self

    def toggle_autodiff(self, mode: bool = False) -> None:
        """Switch gradients on or off for all of torch, as TransformerLens does.

        A `with torch.no_grad()` block does the same and ends by itself.
        """
        torch.set_grad_enabled(mode)

    def remove_batch_dim(self: Cache) -> Cache:
        """Drop the batch dimension, in this very cache; if there is none, nothing changes.

        What an expert was sent, `[routed, ...]`, has none.

        Raises:
            InputError: if it is not 1 everywhere.
        """
        if self.has_batch_dim:
            routed = {name for name in self.cache_dict if expert_of(name) is not None}
            more = [
                n for n, tensor in self.cache_dict.items() if n not in routed and tensor.shape[:1] != (1,)
            ]
            if more:
                raise InputError(
                    wanted="a batch of one sequence to remove the dimension of",
                    got=f"shape {tuple(self.cache_dict[more[0]].shape)} at {more[0]}",
                    remedy="write cache.apply_slice_to_batch_dim(0) for the first sequence",
                )
            self.cache_dict = {
                name: tensor if name in routed else tensor[0] for name, tensor in self.cache_dict.items()
            }
            self.has_batch_dim = False
        return self

    def apply_slice_to_batch_dim(self: Cache, batch_slice: Slice | SliceInput) -> Cache:
        """A cache of some of the sequences; of one and without a batch dimension, for an int.

        What has a first dimension of 1 while others have more is the same for every sequence. Of
        what an expert was sent, the rows of those sequences are taken.

        Raises:
            InputError: without a batch dimension, or if the sequences cannot be told apart.
        """
        chosen = as_slice(batch_slice)
        if not self.has_batch_dim:
            if chosen.mode == "identity":
                return type(self)(self.cache_dict, self.model, has_batch_dim=False)
            raise InputError(
                wanted="a cache with a batch dimension", got="one without", remedy="slice before removing it"
            )
        sizes = {tensor.shape[:1] for name, tensor in self.cache_dict.items() if expert_of(name) is None}
        if len(sizes - {torch.Size([1])}) > 1 or torch.Size() in sizes:
            raise InputError(
                wanted="activations of one batch",
                got=f"first dimensions {', '.join(sorted(str(tuple(size)) for size in sizes))}",
                remedy="name the activations to cache in names_filter",
            )
        batch = max((size[0] for size in sizes), default=0)

        def sliced(name: str, tensor: Tensor) -> Tensor:
            routed = self._routed(name)
            if routed is not None:
                return tensor[routed.rows(sequences=chosen)]
            if len(tensor) == batch:
                return chosen.apply(tensor)
            return tensor[0] if chosen.mode == "int" else tensor

        tensors = {name: sliced(name, tensor) for name, tensor in self.cache_dict.items()}
        return type(self)(tensors, self.model, has_batch_dim=chosen.mode != "int")

    def _routed(self, name: str) -> Routed | None:
        """Which tokens the rows of an expert's activations are of; None for other activations."""
        expert = expert_of(name)
        if expert is None:
            return None
        if expert[0] not in self.cache_dict:
            raise MissingActivation(
                wanted=f"{expert[0]}, which says of which tokens the rows of {name} are",
                got="a cache without it",
                remedy="cache it too",
            )
        indices = self.cache_dict[expert[0]]
        return Routed(indices if self.has_batch_dim else indices[None], expert[1])

    def _full_name(self, key: object) -> str:
        if isinstance(key, str) and key in self.cache_dict:
            return key
        layer, layer_type = None, None
        match key:
            case str(site):
                pass
            case (str(site), SupportsIndex() | None as layer):
                pass
            case (str(site), SupportsIndex() | None as layer, str() | None as layer_type):
                pass
            case _:
                raise MissingActivation(
                    wanted="a hook name, or (site, layer)", got=repr(key), remedy='write cache["pattern", 0]'
                )
        if layer is not None:
            layer = index(layer)
            layer += self._layer_count() if layer < 0 else 0
        gradient = "_grad" if site.endswith("_grad") else ""
        try:
            return get_act_name(site.removesuffix("_grad"), layer, layer_type) + gradient
        except InputError as error:
            raise MissingActivation(wanted=error.wanted, got=error.got, remedy=error.remedy) from None

    def _layer_count(self) -> int:
        return self._opened().cfg.n_layers

    def _opened(self) -> HookedTransformer:
        if self.model is None:
            raise InputError(
                wanted="the model that these activations are from",
                got="a cache without one",
                remedy="write cache.model = model, or ActivationCache.load(path, model)",
            )
        return self.model
