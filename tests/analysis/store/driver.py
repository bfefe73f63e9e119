"""Processes that write parts of one store, and are killed: `python -m tests.analysis.store.driver HOW FOLDER`."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

from torch import Tensor

from tests.analysis.store.test_rows import SITE, tokens_of
from tests.model.small import small_model
from unweave import store
from unweave.analysis.store import index, shards

SAMPLES = 30


def die(*_: object) -> None:
    os.kill(os.getpid(), signal.SIGKILL)


def data(last: int | None = None) -> Iterator[Tensor]:
    for number, sample in enumerate(tokens_of(SAMPLES)):
        if number == last:
            die()
        yield sample


def write(folder: Path, last: int | None = None, part: int = 0, of: int = 1) -> None:
    store.write_part(small_model(), data(last), SITE, folder, part=part, of=of, batch_size=4, shard_tokens=20)


def killed(folder: Path, how: str) -> None:
    """Begin to write, and die: between samples, within a file, or between a file and the index that names it."""
    if how == "data":
        write(folder, last=11)
    elif how == "file":
        whole = shards.save_file

        def half(tensors: dict[str, Tensor], path: Path, metadata: dict[str, str]) -> None:
            whole(tensors, path, metadata=metadata)
            os.truncate(path, path.stat().st_size // 2)
            die()

        shards.save_file = half
        write(folder)
    elif how == "index":
        index.save = die
        write(folder)


def fork(function: object, *arguments: object) -> int:
    child = os.fork()
    if not child:
        function(*arguments)  # type: ignore[operator]
        os._exit(0)
    return os.waitpid(child, 0)[1]


if __name__ == "__main__":
    place = Path(sys.argv[2])
    if sys.argv[1] == "kill":
        for how in ("file", "data", "file", "index", "data"):
            assert os.WTERMSIG(fork(killed, place, how)) == signal.SIGKILL
            sys.stdout.write(f"{how} {sorted(path.name for path in place.iterdir())}\n")
    else:
        write(place, part=int(sys.argv[1]), of=int(sys.argv[3]))
