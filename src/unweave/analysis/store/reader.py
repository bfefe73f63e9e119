"""Reading a store: lazily, any row, from files that are mapped into memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Shaped
from torch import Tensor

from unweave.analysis.store import index
from unweave.analysis.store.batches import Batch
from unweave.analysis.store.files import Files
from unweave.analysis.store.index import Index
from unweave.analysis.store.merging import merged
from unweave.analysis.store.shards import ATTENDED, POSITIONS, SAMPLES, TOKENS
from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.sites import get_act_name
from unweave.engine.provenance import weights_hash
from unweave.model.transformer import HookedTransformer


@dataclass(frozen=True, eq=False)
class Column:
    """One value a row, on disk: `column[3]`, `column[10:20]`, `column[rows]` read what they name.

    Args:
        shape: of all of it, `(rows, ...)`.
    """

    name: str
    shape: tuple[int, ...]
    dtype: torch.dtype
    files: Files

    def __len__(self) -> int:
        return self.shape[0]

    def __repr__(self) -> str:
        return f"Column({self.name}, {self.shape}, {self.dtype})"

    def __getitem__(self, rows: int | slice | Sequence[int] | Tensor) -> Shaped[Tensor, "..."]:
        if isinstance(rows, int):
            if not -len(self) <= rows < len(self):
                raise IndexError(f"row {rows} of {len(self)}")
            return self._gathered(torch.tensor([rows % len(self)]))[0]
        return self._gathered(rows_named(rows, len(self)))

    def _gathered(self, rows: Tensor) -> Tensor:
        found = torch.empty(len(rows), *self.shape[1:], dtype=self.dtype)
        shard_of = torch.searchsorted(self.files.ends, rows, right=True)
        for shard in shard_of.unique().tolist():
            chosen = shard_of == shard
            local = rows[chosen] - self.files.starts[shard]
            # A slice that is one in the file costs no list of places.
            found[chosen] = self.files.tensor(shard, self.name)[local]
        return found


@dataclass(frozen=True, eq=False)
class Store:
    """Activations on disk, a row a token; `store["blocks.0.hook_resid_post"]` is a `Column` of them.

    Rows of one sample stand together, in order; samples of one shard too. `samples` and `positions`
    say of each row where it comes from.

    Args:
        folder: where it lies.
        index: what it says of itself: sites, dtype, the fingerprints of weights and data, shards.
    """

    folder: Path
    index: Index
    files: Files

    def __len__(self) -> int:
        return self.index.rows

    def __repr__(self) -> str:
        header = self.index.header
        return (
            f"Store({self.folder.name}: {len(self)} tokens of {self.index.samples} samples, {header.dtype}, "
            f"{', '.join(header.sites)})"
        )

    @property
    def sites(self) -> tuple[str, ...]:
        """The names of the hooks."""
        return tuple(self.index.header.sites)

    @property
    def n_samples(self) -> int:
        """How many samples the data had."""
        return self.index.samples

    @property
    def tokens(self) -> Column:
        return self._column(TOKENS, torch.int32)

    @property
    def samples(self) -> Column:
        return self._column(SAMPLES, torch.int64)

    @property
    def positions(self) -> Column:
        return self._column(POSITIONS, torch.int32)

    @property
    def attended(self) -> Column:
        """Which rows are no padding.

        Raises:
            InputError: if padding was left out.
        """
        if self.index.header.padding != "keep":
            raise InputError(
                wanted="a store that keeps padding",
                got="one without any: all rows are tokens",
                remedy='write it with padding="keep" if padding is needed',
            )
        return self._column(ATTENDED, torch.bool)

    def __getitem__(self, site: str | tuple[str, int]) -> Column:
        name = site if isinstance(site, str) else get_act_name(*site)
        name = name if name in self.index.header.sites or "." in name else _full(name)
        if name not in self.index.header.sites:
            raise InputError(
                wanted=f"a site of the store in {self.folder}",
                got=repr(site),
                remedy=f"it has {', '.join(self.sites)}",
            )
        dtype: torch.dtype = getattr(torch, self.index.header.dtype)
        return self._column(name, dtype, *self.index.header.sites[name])

    def rows_of(self, sample: int) -> range:
        """The numbers of a sample's rows; none if all of it was left out."""
        for number, shard in enumerate(self.index.shards):
            same_part = sample % self.index.header.parts == shard.first % self.index.header.parts
            if same_part and shard.first <= sample <= shard.last:
                samples = self.files.tensor(number, SAMPLES)
                start = int(self.files.starts[number])
                low, high = torch.searchsorted(samples, torch.tensor([sample, sample + 1])).tolist()
                return range(start + low, start + high)
        if not 0 <= sample < self.n_samples:
            raise InputError(
                wanted=f"a sample from 0 to {self.n_samples - 1}", got=str(sample), remedy="name another"
            )
        return range(0)

    def batches(
        self,
        size: int,
        *,
        seed: int | None = None,
        sites: Sequence[str] | None = None,
        dtype: torch.dtype | None = None,
        drop_last: bool = False,
    ) -> Iterator[Batch]:
        """Every row once: in the store's order, or shuffled by `seed`.

        The shuffle is of all rows, evenly; it takes 8 bytes a row of memory.

        Args:
            size: rows in a batch.
            sites: which to read; None is all.
            dtype: what the numbers are turned to; None leaves them as they are on disk.
            drop_last: leave out a last batch that is smaller.
        """
        if size < 1:
            raise InputError(wanted="batches of one row or more", got=str(size), remedy="give another size")
        columns = {name: self[name] for name in (self.sites if sites is None else sites)}
        order = torch.arange(len(self)) if seed is None else _shuffled(len(self), seed)
        for rows in order.split(size):
            if drop_last and len(rows) < size:
                return
            values = {name: column[rows] for name, column in columns.items()}
            if dtype is not None:
                values = {name: value.to(dtype) for name, value in values.items()}
            yield Batch(rows, self.tokens[rows], self.samples[rows], self.positions[rows], values)

    def require_model(self, model: HookedTransformer) -> None:
        """Raise InputError unless these are activations of this model's weights."""
        found = weights_hash(model)
        if found != self.index.header.weights:
            raise InputError(
                wanted=f"the model whose activations {self.folder} holds, with weights {self.index.header.weights}",
                got=f"one with weights {found}",
                remedy="open the model that the store was written with, or write another store",
            )

    def verify(self) -> None:
        """Read every shard, and compare it with its hash.

        Raises:
            InputError: for one that differs.
        """
        for number in range(len(self.index.shards)):
            self.files.verify(number)

    def _column(self, name: str, dtype: torch.dtype, *shape: int) -> Column:
        return Column(name, (len(self), *shape), dtype, self.files)


def open_store(folder: str | Path, *, model: HookedTransformer | None = None, verify: bool = True) -> Store:
    """Open a store that is finished. Nothing is read but its index, until rows are asked for.

    Args:
        model: refuse a store of another model's activations.
        verify: compare each shard with its hash when it is first read, which costs reading it whole
            once; False compares lengths alone. `store.verify()` does it for all shards at once.

    Raises:
        InputError: if there is no store, one that isn't finished, a shard that is missing or torn, or
            another model's.
    """
    folder = Path(folder).resolve()
    held = index.load_index(folder) or merged(folder)
    store = Store(folder, held, Files(folder, held.shards, verify))
    if model is not None:
        store.require_model(model)
    return store


def rows_named(rows: Any, size: int) -> Tensor:
    """The numbers of the rows that a slice, a list, or a tensor of numbers or booleans names.

    Raises:
        InputError: for rows that aren't there.
    """
    if isinstance(rows, slice):
        return torch.tensor(range(size)[rows], dtype=torch.long)
    named = torch.as_tensor(rows).cpu()
    if named.dtype == torch.bool and named.shape == (size,):
        return named.nonzero()[:, 0]
    whole = not named.is_floating_point() and named.dtype != torch.bool and named.ndim == 1
    if not whole or (len(named) and not -size <= int(named.min()) <= int(named.max()) < size):
        raise InputError(
            wanted=f"rows from 0 to {size - 1}, as a slice, a list, or a tensor of numbers or {size} booleans",
            got=f"shape {tuple(named.shape)}, {named.dtype}",
            remedy="ask len(store) for how many there are",
        )
    return named.long() % size


def _shuffled(size: int, seed: int) -> Tensor:
    return torch.randperm(size, generator=seeds.generator(seed, "store"))


def _full(name: str) -> str:
    try:
        return get_act_name(name)
    except InputError:
        return name
