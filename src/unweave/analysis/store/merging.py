"""Making one index of several writers' parts."""

from __future__ import annotations

from pathlib import Path

from unweave.analysis.store import index
from unweave.analysis.store.index import Index, Part
from unweave.core.errors import InputError


def merge(folder: str | Path) -> None:
    """Write the store's index from its parts', which must all be done.

    It is a function of the parts alone: whoever merges, and how often, the index is the same.

    Raises:
        InputError: if a part is missing or unfinished, or the writers were given different data.
    """
    index.save(Path(folder), merged(Path(folder)))


def merged(folder: Path) -> Index:
    """The index that the parts make together.

    Raises:
        InputError: as `merge` does.
    """
    parts = parts_of(folder)
    done = [part for part in parts if part is not None and part.done]
    if not parts or len(done) < len(parts):
        raise _not_finished(folder, parts)
    samples, data = done[0].samples, done[0].data
    assert samples is not None and data is not None
    for part in done[1:]:
        if (part.data, part.samples) != (data, samples):
            raise InputError(
                wanted=f"parts of one dataset in {folder}",
                got=f"{samples} samples ({data}) in part 0 and {part.samples} ({part.data}) in part {part.number}",
                remedy="give every writer the same data, and write the part that differs again in another folder",
            )
    shards = sorted((shard for part in done for shard in part.shards), key=lambda shard: shard.first)
    versions = tuple(sorted({version for part in done for version in part.versions}))
    return Index(done[0].header, tuple(shards), samples, data, versions)


def merge_if_done(folder: Path) -> None:
    """Merge, if all parts are done."""
    parts = parts_of(folder)
    if parts and all(part is not None and part.done for part in parts):
        merge(folder)


def parts_of(folder: Path) -> list[Part | None]:
    """Every part, None for one that hasn't begun; empty where there is no store."""
    begun = sorted(folder.glob("part-[0-9][0-9][0-9].json"))
    if not begun:
        return []
    first = index.load_part(folder, int(begun[0].stem.removeprefix("part-")))
    assert first is not None
    parts = [index.load_part(folder, number) for number in range(first.header.parts)]
    for part in parts:
        if part is not None:
            index.require_same(part.header, first.header, folder)
    return parts


def _not_finished(folder: Path, parts: list[Part | None]) -> InputError:
    """What is missing."""
    if not parts:
        return InputError(
            wanted=f"a store of activations in {folder}",
            got="none",
            remedy="write one with store.write(model, data, sites, folder)",
        )
    told: list[str] = []
    for number, part in enumerate(parts):
        if part is None:
            told.append(f"part {number} not begun")
        elif not part.done:
            rows = sum(shard.rows for shard in part.shards)
            told.append(f"part {number} unfinished, with {rows} tokens in {len(part.shards)} shards")
    return InputError(
        wanted=f"a finished store in {folder}",
        got="; ".join(told),
        remedy="call store.write (or write_part) again as it was called: it goes on where it stopped",
    )
