"""A run's folder as bytes: how it travels between machines that share no files."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from pathlib import Path, PurePosixPath

from unweave.core.files import file_atomic, folder_atomic
from unweave.training.checkpoints import list_checkpoints
from unweave.training.grids.outcome import OUTCOME
from unweave.training.history import HELD_OUT, HISTORY, TIMES
from unweave.training.run_file import RUN

Parcel = Mapping[str, bytes]
CHECKPOINTS, MODEL = "checkpoints", "model"


def packed(folder: Path, without: Collection[str] = ()) -> dict[str, bytes]:
    """All of a run's folder that matters, by name within it.

    Args:
        without: names of checkpoints that are there already where it goes.
    """
    # The checkpoints first: the history that is read after them says all that came before.
    files = [
        file
        for checkpoint in list_checkpoints(folder / CHECKPOINTS)
        if checkpoint.name not in without
        for file in checkpoint.iterdir()
    ]
    files += sorted((folder / MODEL).iterdir()) if (folder / MODEL).is_dir() else []
    files += [folder / name for name in (RUN, HISTORY, HELD_OUT, TIMES, OUTCOME)]
    return {file.relative_to(folder).as_posix(): file.read_bytes() for file in files if file.is_file()}


def to_go_on(folder: Path) -> dict[str, bytes]:
    """What another machine needs of a run to go on with it: its last checkpoint and what was written beside."""
    earlier = list_checkpoints(folder / CHECKPOINTS)[:-1]
    found = packed(folder, without=[checkpoint.name for checkpoint in earlier])
    return {name: held for name, held in found.items() if not name.startswith(f"{MODEL}/")}


def unpack(parcel: Parcel, folder: Path) -> None:
    """Write it into the folder, beside what is there; at every moment the folder is one that can be gone on with.

    Histories come first, since they may say more than the last checkpoint and never less; then each
    checkpoint and the model, whole or not at all; at last what says that the run is over.
    """
    above = {name: PurePosixPath(name).parent for name in parcel}
    for name in sorted(name for name in parcel if above[name] == PurePosixPath(".") and name != OUTCOME):
        _write(folder / name, parcel[name])
    for place in sorted({path for path in above.values() if path != PurePosixPath(".")}):
        with folder_atomic(folder / place) as part:
            for name in (name for name in parcel if above[name] == place):
                (part / PurePosixPath(name).name).write_bytes(parcel[name])
    if OUTCOME in parcel:
        _write(folder / OUTCOME, parcel[OUTCOME])


def _write(path: Path, held: bytes) -> None:
    with file_atomic(path) as part:
        part.write_bytes(held)
