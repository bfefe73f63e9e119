"""The tensors of one run of a wrapped module, by name."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.utils.weak import WeakTensorKeyDictionary

from unweave.core.errors import HookError, MissingActivation, nearest
from unweave.core.recorder import only_sequence
from unweave.model.places import Place


class ModuleCache(Mapping[str, Tensor]):
    """A read-only mapping from the names of places to tensors, in the order of the run.

    A module that was called more than once has an entry for each call: `relu@0.out`, `relu@1.out`.

    Raises:
        MissingActivation: (a KeyError and a ValueError) for what was not cached; it names the
            nearest names that were.
    """

    def __init__(self, activations: Mapping[str, Tensor]) -> None:
        self._activations = dict(activations)

    def __getitem__(self, key: str) -> Tensor:
        if key not in self._activations:
            raise MissingActivation(
                wanted="the name of an activation that this run cached",
                got=repr(key),
                remedy=f"nearest: {self._alike(key) or nearest(str(key), self._activations)}",
            )
        return self._activations[key]

    def __iter__(self) -> Iterator[str]:
        return iter(self._activations)

    def __len__(self) -> int:
        return len(self._activations)

    def __repr__(self) -> str:
        return f"ModuleCache with {len(self)} activations: {', '.join(list(self)[:4])}, ..."

    def _alike(self, key: str) -> str:
        """The names of the same inputs or outputs, with other addresses or calls."""
        meant = Place.parsed(str(key))
        places = {name: Place.parsed(name) for name in self._activations}
        alike = [
            name for name, p in places.items() if p and meant and (p.path, p.end) == (meant.path, meant.end)
        ]
        return ", ".join(alike[:4])


@dataclass(frozen=True)
class Kept:
    """One tensor as it passed, and how often it had been changed in place by then."""

    place: Place
    asked: str | None
    tensor: Tensor
    version: int | None


class Recorder:
    """Keeps tensors of one run.

    Args:
        detach: keep copies, which no module that works in place (a ReLU, say) can change; False
            keeps the tensors themselves, with their graph.
        remove_batch_dim: drop the first dimension, which must be 1.
    """

    def __init__(self, detach: bool, remove_batch_dim: bool = False) -> None:
        self.detach, self.remove_batch_dim = detach, remove_batch_dim
        self.kept: list[Kept] = []
        # What one module returns and the next one takes is copied once.
        self._copies = WeakTensorKeyDictionary()

    def keep(self, place: Place, asked: str | None, tensor: Tensor) -> Tensor:
        """Keep what passes `place`, under the name that was asked for, if it was asked by name.

        What is given back is made of what was kept, where gradients are to flow through that.
        """
        if self.remove_batch_dim:
            part = self._keep(place, asked, only_sequence(tensor, asked or place.named(bool(place.call))))
            return tensor if self.detach else part[None]
        return self._keep(place, asked, tensor)

    def _keep(self, place: Place, asked: str | None, tensor: Tensor) -> Tensor:
        """Keep `tensor` as it is, and give it back."""
        # Tensors made in inference mode do not count their changes; nor have they a graph to keep.
        version = None if tensor.is_inference() else tensor._version
        copied = self.detach or version is None
        self.kept.append(Kept(place, asked, self._copy(tensor, version) if copied else tensor, version))
        return tensor

    def cache(self) -> ModuleCache:
        """What was kept, with call numbers where a module was called more than once.

        Raises:
            HookError: if a tensor that is no copy was changed since.
        """
        calls: dict[str, set[int | None]] = {}
        for kept in self.kept:
            calls.setdefault(kept.place.path, set()).add(kept.place.call)
        activations: dict[str, Tensor] = {}
        for kept in self.kept:
            name = kept.asked or kept.place.named(numbered=len(calls[kept.place.path]) > 1)
            if not self.detach and kept.version is not None and kept.tensor._version != kept.version:
                raise HookError(
                    wanted=f"{name} as it was when it passed",
                    got="a tensor that was changed in place later in the run",
                    remedy="cache with detach=True, leave the name out, or build that module with inplace=False",
                )
            activations[name] = kept.tensor
        return ModuleCache(activations)

    def _copy(self, tensor: Tensor, version: int | None) -> Tensor:
        known = self._copies.get(tensor) if version is not None else None
        if known is not None and known[0] == version:
            return known[1]
        copy = tensor.detach().clone()
        if version is not None:
            self._copies[tensor] = (version, copy)
        return copy
