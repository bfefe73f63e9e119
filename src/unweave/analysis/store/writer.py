"""Running a model over a dataset, and keeping what passes its sites on disk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from unweave import __version__
from unweave.analysis.store import index
from unweave.analysis.store.index import Header, Part
from unweave.analysis.store.lock import locked
from unweave.analysis.store.merging import merge_if_done
from unweave.analysis.store.reader import Store, open_store
from unweave.analysis.store.rows import Data, Reader, Rows
from unweave.analysis.store.shards import Buffer, write_shard
from unweave.analysis.store.tap import Sites, Tap
from unweave.core.errors import InputError
from unweave.core.files import require_folder
from unweave.core.log import log
from unweave.engine.inputs import require_model
from unweave.engine.provenance import weights_hash
from unweave.model.config_checks import require_choice
from unweave.model.transformer import HookedTransformer

SHARD_TOKENS = 2**16


def write(
    model: HookedTransformer,
    data: Data,
    sites: Sites,
    folder: str | Path,
    *,
    dtype: torch.dtype | None = None,
    batch_size: int = 32,
    shard_tokens: int = SHARD_TOKENS,
    padding: str = "skip",
    exclude: Sequence[int] = (),
    progress: bool = False,
) -> Store:
    """Run `model` over `data`, and write what passes `sites` to `folder`: a row a token.

    Memory stays at one shard and one batch, whatever the data's size. Interrupted at any moment, by
    `kill -9` or a full disk too, the same call goes on after the last whole shard; the store is
    then the same, bit for bit on the same machine. Data that comes as a generator must be given
    anew, from its beginning: what was written is passed over without running the model.

    Args:
        data: tokens `[sample, pos]`, `Inputs` with a mask, or an iterable of either: batches, or
            samples of different lengths one by one.
        sites: names as in `Site` (all layers that have them), a `Site` with layers, or a list.
        folder: where to; it is made.
        dtype: of the numbers on disk; None is the model's.
        batch_size: samples in one run.
        shard_tokens: a shard is closed at the first end of a sample with as many rows.
        padding: "skip" leaves padding out; "keep" keeps a row for it, and `store.attended` says which.
        exclude: tokens whose rows are left out, as BOS, whose activations are often far from all others.
        progress: show a bar.

    Raises:
        InputError: for a site that isn't a vector a token, a model with hooks on it, numbers that the
            dtype can't hold, a folder that holds another store, data other than what was begun with, or
            a file that can't be written.
    """
    write_part(
        model,
        data,
        sites,
        folder,
        part=0,
        of=1,
        dtype=dtype,
        batch_size=batch_size,
        shard_tokens=shard_tokens,
        padding=padding,
        exclude=exclude,
        progress=progress,
    )
    return open_store(folder)


def write_part(
    model: HookedTransformer,
    data: Data,
    sites: Sites,
    folder: str | Path,
    *,
    part: int,
    of: int,
    dtype: torch.dtype | None = None,
    batch_size: int = 32,
    shard_tokens: int = SHARD_TOKENS,
    padding: str = "skip",
    exclude: Sequence[int] = (),
    progress: bool = False,
) -> None:
    """One of `of` writers' share of `write`: samples whose number leaves the remainder `part`.

    All are given the same data and folder, in processes or on machines of their own, at the same
    time or one after the other. The last to finish makes the store's index; then `store.open` opens it.

    Raises:
        InputError: as `write` does; also if another process is writing this part, or if the writers
            were given different data.
    """
    model = require_model(model)
    require_choice("padding", padding, ("skip", "keep"))
    _require_counts(part, of, batch_size, shard_tokens)
    tap = Tap.on(model, sites, dtype, padding, tuple(exclude))
    header = Header(
        tap.shapes(), str(tap.dtype).removeprefix("torch."), weights_hash(model), padding, sorted(exclude),
        shard_tokens, of,
    )  # fmt: skip
    folder = require_folder(Path(folder).resolve(), "the store")
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / f".part-{part:03}.lock"):
        _Writer(folder, _begun(folder, header, part), tap).run(Reader(part, of, batch_size), data, progress)
    merge_if_done(folder)


class _Writer:
    """Writes one part; what is on disk is always some whole shards and an index that names them."""

    def __init__(self, folder: Path, state: Part, tap: Tap) -> None:
        self.folder, self.state, self.tap, self.buffer = folder, state, tap, Buffer()

    def run(self, reader: Reader, data: Data, progress: bool) -> None:
        for left in self.folder.glob(f".part-{self.state.number:03}*.part"):
            left.unlink()
        written = {shard.last: shard.data for shard in self.state.shards}
        after = max(written, default=-1)
        with tqdm(desc="activations", unit="token", disable=not progress) as bar:
            for rows in reader.batches(data):
                for number, data_so_far in zip(rows.numbers, rows.prints, strict=True):
                    if written.get(number, data_so_far) != data_so_far:
                        raise _other_data(self.folder, number)
                # A batch that is partly written is run whole, so that its numbers are the same again.
                if rows.numbers[-1] > after:
                    bar.update(self._take(rows, after))
        if after >= reader.samples or (self.state.done and self.state.data != reader.fingerprint):
            raise _other_data(self.folder, min(after, reader.samples))
        if self.buffer.rows:
            self._flush()
        self._save(replace(self.state, samples=reader.samples, data=reader.fingerprint))

    def _take(self, rows: Rows, after: int) -> int:
        taken = 0
        for number, data, columns in zip(rows.numbers, rows.prints, self.tap.columns(rows), strict=True):
            if number > after:
                self.buffer.add(columns, number, data)
                taken += len(columns["tokens"])
                if self.buffer.rows >= self.state.header.shard_tokens:
                    self._flush()
        return taken

    def _flush(self) -> None:
        state = self.state
        shard = write_shard(self.folder, state.header, state.number, len(state.shards), self.buffer)
        self.buffer = Buffer()
        self._save(replace(state, shards=(*state.shards, shard)))

    def _save(self, state: Part) -> None:
        if state != self.state:
            index.save(self.folder, state)
        self.state = state


def _begun(folder: Path, header: Header, part: int) -> Part:
    """What this part has written so far, if that belongs to this store."""
    for other in (index.load_index(folder), *(index.load_part(folder, n) for n in range(header.parts))):
        if other is not None:
            index.require_same(other.header, header, folder)
    found = index.load_part(folder, part)
    found = Part(header, part) if found is None else _whole(folder, found)
    version = f"unweave {__version__}, torch {torch.__version__}"
    return found if version in found.versions else replace(found, versions=(*found.versions, version))


def _whole(folder: Path, found: Part) -> Part:
    """The part without what follows the first shard that is no longer whole."""
    for number, shard in enumerate(found.shards):
        path = folder / shard.file
        if not path.exists() or path.stat().st_size != shard.bytes:
            log.warning("%s is missing or torn: the store is written anew from there on", path)
            (folder / index.INDEX).unlink(missing_ok=True)
            return replace(found, shards=found.shards[:number], samples=None, data=None)
    return found


def _require_counts(part: int, of: int, batch_size: int, shard_tokens: int) -> None:
    if not 0 <= part < of or batch_size < 1 or shard_tokens < 1:
        raise InputError(
            wanted="a part from 0 to of - 1, and a batch and shard of one or more",
            got=f"part {part} of {of}, batch_size {batch_size}, shard_tokens {shard_tokens}",
            remedy="number the writers from 0 on",
        )


def _other_data(folder: Path, number: int) -> InputError:
    return InputError(
        wanted=f"the data that the store in {folder} was begun with",
        got=f"other tokens, at the latest at sample {number}",
        remedy="give the same data from its beginning, or name another folder",
    )
