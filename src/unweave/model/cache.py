"""The activations of one run, by full name or shorthand."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

from torch import Tensor

from unweave.core.errors import InputError, MissingActivation, nearest
from unweave.core.sites import get_act_name

Key = str | tuple[str, int] | tuple[str, int, str] | tuple[str, None, str]


class ActivationCache(Mapping[str, Tensor]):
    """A read-only mapping from hook names to tensors.

    `cache["blocks.0.attn.hook_pattern"]` and `cache["pattern", 0]` are the same tensor;
    `cache["resid_post", -1]` counts layers from the end.

    Raises:
        MissingActivation: (a KeyError and a ValueError) for what was not cached; it names the
            nearest names that were.
    """

    def __init__(self, activations: Mapping[str, Tensor], n_layers: int) -> None:
        self._activations = dict(activations)
        self.n_layers = n_layers

    def __getitem__(self, key: Key) -> Tensor:
        if isinstance(key, str) and key in self._activations:
            return self._activations[key]
        name = self._full_name(key)
        if name not in self._activations:
            raise MissingActivation(
                wanted="an activation that this run cached",
                got=repr(key),
                remedy=f"nearest: {nearest(name, self._activations)}",
            )
        return self._activations[name]

    def __iter__(self) -> Iterator[str]:
        return iter(self._activations)

    def __len__(self) -> int:
        return len(self._activations)

    def __repr__(self) -> str:
        return f"ActivationCache with {len(self)} activations: {', '.join(list(self)[:4])}, ..."

    def _full_name(self, key: Key) -> str:
        layer, layer_type = None, None
        match key:
            case str(site):
                pass
            case (site, layer):
                pass
            case (site, layer, layer_type):
                pass
            case _:  # pyright: ignore[reportUnnecessaryComparison]
                raise MissingActivation(
                    wanted="a hook name, or (site, layer)", got=repr(key), remedy='write cache["pattern", 0]'
                )
        if layer is not None and layer < 0:
            layer += self.n_layers
        try:
            return get_act_name(site, layer, layer_type)
        except InputError as error:
            raise MissingActivation(wanted=error.wanted, got=error.got, remedy=error.remedy) from None
