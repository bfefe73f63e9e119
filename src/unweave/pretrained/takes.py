"""How a checkpoint's tensors become a model's weights: rows of a readable table."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field, replace

import torch
from einops import EinopsError, rearrange
from torch import Tensor

from unweave.core.errors import InputError

# A checkpoint's tensor, brought to where and what it shall be: the copy, if one is made.
Settle = Callable[[Tensor], Tensor]

# The shapes of a torch.nn.Linear's weight, `[out, in]`, as the model's.
LINEAR = "d_out d_in -> d_in d_out"
TO_HEADS = "(head d_head) d_model -> head d_model d_head"
FROM_HEADS = "d_model (head d_head) -> head d_head d_model"
HEAD_BIAS = "(head d_head) -> head d_head"


@dataclass(frozen=True)
class Take:
    """One weight: `ours` is made of the checkpoint's `theirs`.

    Args:
        ours: the parameter's name; "{layer}" and "{expert}" stand for each in turn.
        theirs: the tensor's name, without the family's prefix.
        axes: einops' notation of both shapes; empty: as it is. Sizes that it can't infer are in `sizes`.
        pick: axes of the left side that are left out or cut: a number takes one entry, a slice several.
        sizes: lengths of axes.
        rows: take these rows of the tensor's first dimension, before anything else. The last piece
            of a tensor ends with None, so that a longer one doesn't fit.
        plus: added to every number.
        or_else: another row for checkpoints that don't have `theirs`.
    """

    ours: str
    theirs: str
    axes: str = ""
    pick: Mapping[str, int | slice] = field(default_factory=dict[str, int | slice])
    sizes: Mapping[str, int] = field(default_factory=dict[str, int])
    rows: tuple[int | None, int | None] | None = None
    plus: float = 0.0
    or_else: Take | None = None

    def filled(self, **numbers: int) -> Take:
        """This row for one layer, and one expert."""
        other = None if self.or_else is None else self.or_else.filled(**numbers)
        # An expert's number may also be an index into a tensor that holds all experts.
        pick = {axis: numbers.get(axis, at) for axis, at in self.pick.items()}
        ours, theirs = (name.format(**numbers) for name in (self.ours, self.theirs))
        return replace(self, ours=ours, theirs=theirs, or_else=other, pick=pick)

    def of(self, tensor: Tensor, settle: Settle = lambda part: part) -> Tensor:
        """The weight. Where the memory layout allows, it is a view of what `settle` gives.

        Raises:
            ValueError: if the shape isn't that of `axes`.
        """
        if self.rows is not None:
            tensor = tensor[slice(*self.rows)]
        axes, sizes = self.axes, dict(self.sizes)
        if self.pick:
            tensor, axes, lengths = self._picked(tensor)
            sizes |= lengths
        tensor = settle(tensor)
        if self.plus:
            tensor = (tensor.float() + self.plus).to(tensor.dtype)
        return _rearranged(tensor, axes, sizes) if axes else tensor

    def _picked(self, tensor: Tensor) -> tuple[Tensor, str, dict[str, int]]:
        """The tensor without what isn't picked, its dimensions in their order; the axes left; their lengths."""
        left, right = (side.strip() for side in self.axes.split("->"))
        names = re.findall(r"\w+", left)
        split = _rearranged(tensor, f"{left} -> {' '.join(names)}", self.sizes)
        split = split[tuple(self.pick.get(name, slice(None)) for name in names)]
        kept = [name for name in names if not isinstance(self.pick.get(name), int)]
        shape = _without(left, set(names) - set(kept))
        # A view where the strides allow it, which they do if what is left out is the outermost axis.
        merged = _rearranged(split, f"{' '.join(kept)} -> {shape}", {})
        return merged, f"{shape} -> {right}", dict(zip(kept, split.shape, strict=True))


def take(
    ours: str,
    theirs: str,
    axes: str = "",
    *,
    rows: tuple[int | None, int | None] | None = None,
    plus: float = 0.0,
    or_else: Take | None = None,
    sizes: Mapping[str, int] | None = None,
    **pick: int | slice,
) -> Take:
    """A row of a family's table; `take("...W_K", "...c_attn.weight", "d_model (qkv head d_head) -> ...", qkv=1)`."""
    return Take(ours, theirs, axes, pick, sizes or {}, rows, plus, or_else)


def _rearranged(tensor: Tensor, axes: str, sizes: Mapping[str, int]) -> Tensor:
    left = re.findall(r"\w+", axes.split("->")[0])
    try:
        return rearrange(tensor, axes, **{name: sizes[name] for name in left if name in sizes})
    except EinopsError as error:
        raise ValueError(str(error)) from error


def _without(shape: str, gone: set[str]) -> str:
    """An einops shape without these axes."""
    for name in gone:
        shape = re.sub(rf"\b{name}\b", "", shape)
    # Parentheses around a single axis would do no harm; empty ones would.
    return re.sub(r"\(\s*\)", "1", re.sub(r"\s+", " ", shape)).strip()


def expanded(table: Iterable[Take], n_layers: int, n_experts: int, sizes: Mapping[str, int]) -> list[Take]:
    """Every row for every layer, and every expert, that it stands for."""
    rows: list[Take] = []
    for row in table:
        row = _sized(row, sizes)
        for layer in range(n_layers) if "{layer}" in row.ours else (0,):
            for expert in range(n_experts) if "{expert}" in row.ours else (0,):
                rows.append(row.filled(layer=layer, expert=expert))
    return rows


def _sized(row: Take, sizes: Mapping[str, int]) -> Take:
    other = None if row.or_else is None else _sized(row.or_else, sizes)
    return replace(row, sizes={**sizes, **row.sizes}, or_else=other)


def made_shape(row: Take, shape: tuple[int, ...]) -> tuple[int, ...]:
    """The shape of the weight that a tensor of `shape` would give.

    Raises:
        InputError: if it would give none.
    """
    try:
        return tuple(row.of(torch.empty(shape, device="meta")).shape)
    except (ValueError, IndexError) as error:
        raise InputError(
            wanted=f"{row.theirs} of a shape as {row.axes or 'the weight has'}",
            got=f"shape {shape}",
            remedy="see that config.json and the weights are of one model",
        ) from error
