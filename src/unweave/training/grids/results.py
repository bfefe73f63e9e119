"""The table that a grid ends in: a row a run."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError
from unweave.core.files import write_json_atomic, write_text_atomic
from unweave.training.grids.member import Member
from unweave.training.grids.outcome import Outcome

RESULTS, TABLE = "results.json", "results.csv"
# What an axis can't be called.
COLUMNS = (
    *("run", "seed", "state", "steps", "loss", "accuracy", "held_out_loss", "held_out_accuracy"),
    *("spikes", "minutes", "attempts", "error"),
)


@dataclass(frozen=True)
class GridResults:
    """What came of a grid.

    Args:
        rows: one a run: its folder's name, the axes' values, the seed, its state ("finished", "diverged",
            "failed", or "unfinished" where it was not run to its end), what it measured (losses in nats, minutes
            of training), how often it was begun in vain and once more, and the last error.
        folder: where all of it lies; each run is in `runs/NAME`.
    """

    rows: tuple[Mapping[str, Any], ...]
    folder: Path

    @classmethod
    def of(cls, members: Sequence[Member], folder: Path, errors: Mapping[str, Sequence[str]]) -> GridResults:
        """Of these runs, from what each wrote.

        Args:
            errors: of attempts that failed, by run.
        """
        found = [(member, Outcome.read(folder / "runs" / member.name, member.name)) for member in members]
        rows = [_row(member, outcome, errors.get(member.name, ())) for member, outcome in found]
        return cls(tuple(rows), folder)

    @property
    def failed(self) -> tuple[Mapping[str, Any], ...]:
        """The rows of runs that were tried and not brought to an end."""
        return tuple(row for row in self.rows if row["state"] == "failed")

    def write(self) -> None:
        """Write `results.json` and `results.csv` into the folder."""
        write_json_atomic(self.folder / RESULTS, {"rows": [dict(row) for row in self.rows]})
        text = io.StringIO()
        table = csv.DictWriter(text, list(self.rows[0]), lineterminator="\n")
        table.writeheader()
        table.writerows({name: _cell(value) for name, value in row.items()} for row in self.rows)
        write_text_atomic(self.folder / TABLE, text.getvalue())

    @classmethod
    def load(cls, folder: str | Path) -> GridResults:
        """The results that a grid wrote into this folder.

        Raises:
            InputError: if there are none.
        """
        folder = Path(folder)
        try:
            return cls(tuple(json.loads((folder / RESULTS).read_text(encoding="utf-8"))["rows"]), folder)
        except (OSError, ValueError, KeyError) as error:
            raise InputError(
                wanted=f"a {RESULTS} in {folder}",
                got=str(error),
                remedy="name a folder that unweave grid wrote",
            ) from error

    def to_frame(self) -> Any:
        """A pandas DataFrame, a row a run.

        Raises:
            InputError: if pandas isn't installed.
        """
        try:
            import pandas  # pyright: ignore[reportMissingImports]
        except ModuleNotFoundError as error:
            raise InputError(
                wanted="pandas, for to_frame", got="none installed", remedy="pip install 'unweave[frames]'"
            ) from error
        return pandas.DataFrame([{name: _cell(value) for name, value in row.items()} for row in self.rows])


def _row(member: Member, outcome: Outcome | None, errors: Sequence[str]) -> dict[str, Any]:
    measured = (
        Outcome(member.name, "finished", 0, None, None, None, None, 0, 0.0) if outcome is None else outcome
    )
    values = asdict(measured)
    state = ("failed" if errors else "unfinished") if outcome is None else outcome.state
    over = {name: values[name] if outcome else None for name in COLUMNS[3:10]}
    error = measured.error or (errors[-1] if errors and outcome is None else "")
    attempts = len(errors) + (outcome is not None)
    return {
        "run": member.name,
        **member.labels,
        "seed": member.seed,
        "state": state,
        **over,
        "attempts": attempts,
        "error": error,
    }


def _cell(value: Any) -> Any:
    # A schedule or a list of numbers stands in a table as JSON.
    return json.dumps(value) if isinstance(value, Mapping | list | tuple) else value
