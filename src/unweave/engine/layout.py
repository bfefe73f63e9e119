"""Where a hook lies, how its tensor is laid out, and which of its entries are meant."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
from typing import cast

import torch
from jaxtyping import Float, Int
from torch import Tensor

from unweave.core.errors import HookError, InputError
from unweave.core.sites import position_dim

Index = int | slice | Sequence[int] | Tensor | None
Choice = slice | Tensor

STREAM = ("sample", "pos", "neuron")
PER_HEAD = ("sample", "pos", "head", "neuron")
SCORES = ("sample", "head", "pos", "key")

# Before layer 0: the run must begin with the tokens.
AT_TOKENS = -1


@cache
def dims_of(name: str) -> tuple[str, ...] | None:
    """The dimensions of the tensor at this hook; None where it isn't one row a sequence and position.

    The last one is "neuron" whatever it holds (a stream's or head's dimensions too), and "key" in
    scores and patterns, whose positions are the queries'.
    """
    if ".experts." in name or name.endswith("rel_pos_hook"):
        return None
    if name.endswith(("hook_attn_scores", "hook_pattern")):
        return SCORES
    per_head = position_dim(name) == -3 or ".q_norm." in name or ".k_norm." in name
    return PER_HEAD if per_head else STREAM


@cache
def layer_of(name: str, n_layers: int) -> int:
    """The layer that must run for this hook to fire: `n_layers` after the last, AT_TOKENS before the first."""
    match = re.match(r"blocks\.(\d+)\.", name)
    if match:
        return int(match[1])
    return n_layers if name.startswith(("ln_final.", "unembed.")) else AT_TOKENS


@dataclass(frozen=True, eq=False)
class Selection:
    """Entries of the tensor at one hook, counted in a run over all samples and positions.

    Args:
        name: of the hook.
        index: what is chosen along "pos", "head", "neuron" or "key"; None or left out is everything.
        n_pos: positions of the whole run.
    """

    name: str
    index: dict[str, Index]
    n_pos: int

    def __post_init__(self) -> None:
        dims = dims_of(self.name) or ()
        for dim, index in self.index.items():
            if index is not None and dim not in dims:
                raise HookError(
                    wanted=f"a site with a dimension {dim!r}",
                    got=f"{self.name}, which has {', '.join(dims[1:]) or 'none of its own'}",
                    remedy=f"leave {dim} out, or name another site",
                )

    @property
    def dims(self) -> tuple[str, ...]:
        """The dimensions of the tensor, and of what is selected."""
        return dims_of(self.name) or ()

    @property
    def whole(self) -> bool:
        """Whether everything is chosen."""
        return all(index is None for index in self.index.values())

    def positions(self) -> range:
        """From the earliest position that is touched in any sample to the latest."""
        places = self.choice("pos", self.n_pos) if self.dims else slice(0, self.n_pos)
        if isinstance(places, slice):
            return range(places.start, places.stop)
        return range(int(places.min()), int(places.max()) + 1)

    def choice(self, dim: str, size: int) -> Choice:
        """What is chosen along `dim`: a slice of step 1, or indices (`[sample, k]` if each sample has its own)."""
        return chosen(self.index.get(dim), size, dim)

    def get(self, part: Tensor, samples: slice, offset: int = 0) -> Tensor:
        """The selected entries, dimensions kept; a view where it can be.

        Args:
            part: `[sample, ...]`, the tensor for these samples, from position `offset` on.
            samples: which samples those are.
        """
        return part[self._located(part, samples, offset)]

    def put(self, part: Tensor, values: Tensor, samples: slice, offset: int = 0) -> None:
        """Write `values`, of the shape that `get` gives, into `part`."""
        part[self._located(part, samples, offset)] = values

    def places(self, part: Tensor, samples: slice, offset: int) -> list[Choice]:
        """What is chosen along each dimension of `part` after the samples'."""
        # Keys are turned anew in every run, those of a cache too.
        offset = 0 if self.name.endswith("hook_rot_k") else offset
        places: list[Choice] = []
        for dim, size in zip(self.dims[1:], part.shape[1:], strict=True):
            place = self.choice(dim, self.n_pos if dim == "pos" else size)
            if dim == "pos":
                if isinstance(place, slice):
                    place = slice(place.start - offset, place.stop - offset)
                else:
                    place = (place[samples] if place.ndim == 2 else place) - offset
            places.append(place.to(part.device) if isinstance(place, Tensor) else place)
        return places

    def _located(self, part: Tensor, samples: slice, offset: int) -> tuple[Choice, ...]:
        if not self.dims:
            return (slice(None),)
        places: list[Choice] = [slice(None), *self.places(part, samples, offset)]
        lists = [place for place in places if isinstance(place, Tensor)]
        if len(lists) <= 1 and all(place.ndim == 1 for place in lists):
            return tuple(places)
        return _outer(places, part.shape)


def chosen(index: Index, size: int, dim: str) -> Choice:
    """A slice of step 1 within `size`, or indices counted from the start.

    Raises:
        InputError: for an index that isn't there, one named twice, or a choice of nothing.
    """
    match index:
        case None:
            return slice(0, size)
        case slice():
            start, stop, step = index.indices(size)
            if step == 1:
                return _nonempty(slice(start, stop), stop - start, dim)
            indices = torch.arange(size)[start:stop:step] if step > 0 else torch.tensor(range(size)[index])
        case Tensor():
            if index.is_floating_point() or index.dtype == torch.bool or index.ndim not in (1, 2):
                raise _refused(dim, f"a tensor of shape {tuple(index.shape)}, {index.dtype}")
            indices = index.detach().cpu().long()
            if dim == "pos" and indices.ndim == 1:
                # One position a sample.
                indices = indices[:, None]
        case int() if not isinstance(index, bool):
            _require_within(index, size, dim)
            return slice(index % size, index % size + 1)
        case _ if not isinstance(index, bool | str):
            indices = torch.tensor(list(cast(Sequence[int], index)), dtype=torch.long)
        case _:
            raise _refused(dim, repr(index))
    return _within(indices, size, dim)


def _within(indices: Int[Tensor, "..."], size: int, dim: str) -> Choice:
    _nonempty(slice(0), indices.numel(), dim)
    for end in (indices.min(), indices.max()):
        _require_within(int(end), size, dim)
    indices = indices % size
    ordered = indices.sort(-1).values
    if (ordered[..., 1:] == ordered[..., :-1]).any():
        raise InputError(wanted=f"each {dim} once", got=str(indices.tolist()), remedy="name each only once")
    if indices.ndim == 1 and torch.equal(indices, torch.arange(len(indices)) + indices[0]):
        return slice(int(indices[0]), int(indices[-1]) + 1)
    return indices


def _require_within(index: int, size: int, dim: str) -> None:
    if not -size <= index < size:
        raise InputError(wanted=f"{dim} from {-size} to {size - 1}", got=str(index), remedy="check the site")


def _outer(places: list[Choice], shape: torch.Size) -> tuple[Tensor, ...]:
    """Index tensors that broadcast to the product of all choices."""
    located: list[Tensor] = []
    for dim, (place, size) in enumerate(zip(places, shape, strict=True)):
        indices = torch.arange(size)[place] if isinstance(place, slice) else place
        after = [1] * (len(places) - dim - 1)
        before = [1] * dim if indices.ndim == 1 else [len(indices), *[1] * (dim - 1)]
        located.append(indices.reshape(*before, indices.shape[-1], *after))
    return tuple(located)


def _nonempty(choice: slice, number: int, dim: str) -> slice:
    if number <= 0:
        raise InputError(wanted=f"at least one {dim}", got="a choice of none", remedy="check its ends")
    return choice


def _refused(dim: str, got: str) -> InputError:
    return InputError(
        wanted=f"an index, a slice or a list of indices for {dim}"
        + (", or whole numbers [sample] or [sample, k]" if dim == "pos" else ""),
        got=got,
        remedy="leave it out for all",
    )


def orthonormal(direction: Float[Tensor, "..."], size: int) -> Float[Tensor, "size rank"]:
    """Columns that span what `direction`, `[size]` or `[rank, size]`, spans.

    Raises:
        InputError: for another shape, or directions that depend on each other.
    """
    rows = direction.detach()
    rows = rows[None] if rows.ndim == 1 else rows
    if rows.ndim != 2 or rows.shape[1] != size or not rows.is_floating_point():
        raise InputError(
            wanted=f"a direction [{size}], or rows [rank, {size}] that span a subspace",
            got=f"shape {tuple(direction.shape)}, {direction.dtype}",
            remedy="give it the size of the site's last dimension",
        )
    rows = rows.double()
    if int(torch.linalg.matrix_rank(rows)) < len(rows):
        raise InputError(
            wanted="directions of which none depends on the others",
            got=f"{len(rows)} rows of rank {int(torch.linalg.matrix_rank(rows))}",
            remedy="leave out what is a combination of the others, and zeros",
        )
    return torch.linalg.qr(rows.T).Q.to(direction)
