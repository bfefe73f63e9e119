"""Edits of many patches at one hook, put in place at once where they are alike."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from unweave.core.hooks import HookPoint
from unweave.engine.edits import Edit, HookEdit, Watch, applied, of_the_same_size
from unweave.engine.layout import Choice, Selection
from unweave.engine.operations import Valued

# The number of a patch among those of a batch, and its edits at one hook.
Own = tuple[int, Sequence[Edit | HookEdit]]
# What is chosen along each dimension after the samples'.
Block = tuple[slice, ...]


@dataclass(frozen=True, eq=False)
class Stack:
    """Edits of several patches that do the same, each to a block of its own, all of one shape.

    Args:
        numbers: of their patches in the batch.
        blocks: what each of them writes.
        read: what each of them reads of the source.
    """

    numbers: tuple[int, ...]
    edits: tuple[Edit, ...]
    blocks: tuple[Block, ...]
    read: tuple[Block, ...]

    def apply(self, by_patch: Float[Tensor, "patch sample ..."], samples: slice, watch: Watch) -> None:
        """Put all of them into `by_patch`."""
        places = self._of_patches(by_patch)
        old = by_patch[places]
        new = self._values(old, samples)
        watch.see(self.edits[0], old, new)
        by_patch[places] = new

    def _values(self, old: Tensor, samples: slice) -> Float[Tensor, "patch sample ..."]:
        """What takes the place of `old`, `[patch, sample, ...]`."""
        edit, target, rows = self.edits[0], None, old.flatten(0, 1)
        if edit.reference is not None:
            source = edit.reference[samples]
            target = source[_places(self.read, source.shape[0], source.device)].to(old)
            target = target.expand_as(old).flatten(0, 1)
        new = edit.replaced(rows, target, samples)
        if edit.noise is not None:
            drawn = [one.drawn(old.shape[1:], samples) for one in self.edits]
            new = of_the_same_size(rows, new, torch.cat(drawn))
        return new.reshape(old.shape)

    def _of_patches(self, by_patch: Tensor) -> tuple[Choice, ...]:
        places = _places(self.blocks, by_patch.shape[1], by_patch.device)
        numbers = torch.tensor(self.numbers, device=by_patch.device)
        lists = sum(isinstance(place, Tensor) for place in places)
        return (numbers.view(-1, *[1] * lists), *places)


def applied_to_rows(
    tensor: Float[Tensor, "row ..."],
    own: Sequence[Own],
    n_patches: int,
    hook: HookPoint,
    samples: slice,
    offset: int,
    watch: Watch,
) -> Tensor:
    """`tensor`, which may be changed in place, as each patch's edits leave its own rows.

    Raises:
        InputError: for values that don't fit.
    """
    if n_patches == 1:
        return applied(tensor, own[0][1], hook, samples, offset, watch)
    by_patch = tensor.unflatten(0, (n_patches, -1))
    for turn in range(max(len(edits) for _, edits in own)):
        # A patch's own edits act one after the other, those of different patches in any order.
        due = [(number, edits[turn]) for number, edits in own if turn < len(edits)]
        for found in _stacked(due, by_patch[0], samples, offset):
            if isinstance(found, Stack):
                found.apply(by_patch, samples, watch)
            else:
                applied(by_patch[found[0]], [found[1]], hook, samples, offset, watch)
    return tensor


def _stacked(
    due: Sequence[tuple[int, Edit | HookEdit]], part: Tensor, samples: slice, offset: int
) -> Iterator[Stack | tuple[int, Edit | HookEdit]]:
    """All these edits of one hook: those that are alike together, the others one by one."""
    alike: dict[Hashable, list[tuple[int, Edit, Block, Block]]] = defaultdict(list)
    for number, edit in due:
        blocks = _blocks(edit, part, samples, offset) if isinstance(edit, Edit) else None
        if blocks is None or not isinstance(edit, Edit):
            yield number, edit
            continue
        kind = edit.operation, id(edit.reference), id(edit.basis), edit.noise is None, _lengths(blocks[0])
        alike[kind].append((number, edit, *blocks))
    for together in alike.values():
        numbers, edits, written, read = zip(*together, strict=True)
        yield Stack(numbers, edits, written, read)


def _blocks(edit: Edit, part: Tensor, samples: slice, offset: int) -> tuple[Block, Block] | None:
    """What an edit writes and what it reads, if these are blocks of one shape, of an operation that takes rows."""
    if not edit.operation.rowwise:
        return None
    if isinstance(edit.operation, Valued) and not edit.operation.same_for_all(part.shape[-1]):
        return None
    written = _block(edit.selection, part, samples, offset)
    if written is None or edit.reference is None or edit.read is None:
        return None if written is None else (written, written)
    if edit.read is edit.selection and edit.reference.shape[2:] == part.shape[2:] and not offset:
        return written, written
    read = _block(edit.read, edit.reference, samples, 0)
    return None if read is None or _lengths(read) != _lengths(written) else (written, read)


def _block(selection: Selection, part: Tensor, samples: slice, offset: int) -> Block | None:
    places = selection.places(part, samples, offset)
    block = tuple([place for place in places if isinstance(place, slice)])
    return block if len(block) == len(places) else None


def _lengths(block: Block) -> tuple[int, ...]:
    return tuple([place.stop - place.start for place in block])


def _places(blocks: Sequence[Block], n_samples: int, device: torch.device) -> tuple[Choice, ...]:
    """Indices into `[sample, ...]` that give `[block, sample, ...]`; slices where all blocks are alike to the end."""
    apart = [dim for dim, along in enumerate(zip(*blocks, strict=True)) if len({p.start for p in along}) > 1]
    deep = max(apart, default=-1) + 1
    places: list[Choice] = [torch.arange(n_samples, device=device).view(-1, *[1] * deep)]
    for dim in range(deep):
        starts = torch.tensor([block[dim].start for block in blocks], device=device)
        within = torch.arange(_lengths(blocks[0])[dim], device=device)
        after = [1] * (deep - dim - 1)
        before = [1] * (dim + 1)
        places.append(starts.view(-1, *before, 1, *after) + within.view(-1, *after))
    return (*places, *blocks[0][deep:])
