"""Each member's folder: an ordinary run's."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from unweave.core.errors import InputError
from unweave.core.files import require_folder
from unweave.training.checkpoints import list_checkpoints
from unweave.training.ensembles.adamw import StackedAdamW
from unweave.training.ensembles.stack import Stack
from unweave.training.history import History
from unweave.training.optimizer import adamw
from unweave.training.resume import begun_before
from unweave.training.run_file import RUN, RunConfig
from unweave.training.saver import Saver


@dataclass
class Member:
    """One of an ensemble: its config, its folder, and what is written there.

    `diverged` says why it stands still, once it does.
    """

    number: int
    run: RunConfig
    folder: Path | None
    saver: Saver
    history: History = field(default_factory=History)
    diverged: str | None = None

    def lr(self, step: int) -> float:
        """The learning rate at `step`."""
        return 0.0 if self.diverged else self.run.training.lr * float(self.run.training.schedule(step))


def member_folders(out: Path | None, count: int) -> list[Path | None]:
    """`out/member-0` and so on, with as many digits as the last one needs.

    Raises:
        InputError: if there are runs of other members in `out` already, or a run of its own.
    """
    if out is None:
        return [None] * count
    require_folder(out, "the ensemble")
    folders = [out / f"member-{number:0{len(str(count - 1))}d}" for number in range(count)]
    others = [path.parent for path in (out / RUN, *out.glob(f"member-*/{RUN}")) if path.exists()]
    for folder in sorted(set(others) - set(folders)):
        raise InputError(
            wanted=f"a folder for an ensemble of {count}",
            got=f"{out}, in which {folder if folder == out else folder.name} is another run",
            remedy="name another folder, or move that run away",
        )
    return list(folders)


def restored(members: Sequence[Member], stack: Stack, optimizer: StackedAdamW, exact: bool) -> int:
    """Go on from the last checkpoint that every member has; how many updates were done, 0 if there is none.

    Raises:
        InputError: if a folder holds another run, a checkpoint is damaged, or the surroundings are others.
    """
    names = [
        {path.name for path in list_checkpoints(member.folder / "checkpoints")}
        if member.folder
        else set[str]()
        for member in members
    ]
    shared = set.intersection(*names)
    if not shared and any(names):
        without = [
            member.folder.name
            for member, held in zip(members, names, strict=True)
            if member.folder and not held
        ]
        raise InputError(
            wanted="a checkpoint that every member has, to go on from",
            got=f"none in {', '.join(without)}" if without else "none in common",
            remedy="go on with the members one by one, or begin anew without resume",
        )
    if not shared:
        return 0
    for member, model in zip(members, stack.models, strict=True):
        assert member.folder is not None
        run = member.run
        before = begun_before(member.folder, model, run.task, run.training, max(shared))
        assert before is not None
        if exact:
            member.saver.surroundings.require_same(before.surroundings)
        own = adamw(model, run.training)
        before.restore(model, own)
        stack.read(member.number)
        optimizer.read(own, model, member.number)
        optimizer.updates = before.step
    return optimizer.updates
