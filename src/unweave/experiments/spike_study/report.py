"""The report: one page, made of results.json alone."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from unweave.charts import Block, Page, Picture, Section, Table, Text, write_page
from unweave.experiments import claim_blocks
from unweave.experiments.spike_study import pictures

Json = Mapping[str, Any]


def write_report(path: Path, results: Json) -> Path:
    """Write the page of a study and return its path."""
    return write_page(page(results), path)


def page(results: Json) -> Page:
    """The page, from top to bottom."""
    return Page(
        title="Loss spikes",
        subtitle="The no-position training spikes. How much of it does each cause explain?",
        summary=_summary(results),
        sections=(
            claim_blocks.at_a_glance(results["claims"]),
            _cells(results),
            _effects(results),
            _rate(results),
            _branches(results),
            _apart(results),
            _original(results),
            claim_blocks.in_full(results["claims"]),
            _about(results),
        ),
        footer=claim_blocks.footer(results),
    )


def _summary(results: Json) -> str:
    claims, cells = results["claims"], results["cells"]
    high, low, matched = (
        _told(cells[f"{s}, original"]["spikes per 1000 steps"]) for s in ("max", "min", "matched")
    )
    luck = results["frozen"]
    single = [row for row in results["effects"] if row["from"] == "max, original"]
    shares = "; ".join(
        f"{row['change']} **{_percent(row['share removed'])}** (large ones {_percent(row['share removed, large'])})"
        for row in single
    )
    return (
        f"With the learning-rate multiplier `max(step/100, 1)` the training has **{high} loss spikes per 1000 steps** "
        f"after it has learned, with `min`, which was meant, **{low}**; at a constant rate with the same sum as `max` "
        f"it has {matched}. Over {len(results['seeds'])} seeds, with 95% intervals over these. Finished models that "
        f"are trained no further have {_told(luck['max, original']['finished'])} with `max` and "
        f"{_told(luck['min, original']['finished'])} with `min`, by bad luck with batches alone.\n\nOf the spikes of "
        f"`max`, one change alone removes (below 0: adds): {shares}. **Large ones** rise above 1% of a uniform guess' "
        "loss, a count that was added after the first results had been seen. Shares of different causes need not sum "
        f"to 100%: a spike can need several.\n\nOf {len(claims)} claims, {claim_blocks.counted(claims)}. They were "
        "written, with their thresholds, before the first run; the first knows the original's figures, and is a "
        "replication."
    )


def _cells(results: Json) -> Section:
    cells = results["cells"]
    blocks: list[Block] = [
        Text(
            "A spike is a step whose loss is more than twice the median of the 50 steps on either side, and more than "
            "twice the least of the 50 before; steps at most 10 apart are one. They are counted after a run has "
            "**learned**: from the first 50 steps whose median loss is below a twentieth of a uniform guess'. A "
            "**finished model** that is shown further batches without training has spikes by bad luck alone."
        ),
        Table(
            ("cell", "in training", "finished model", "beyond bad luck", "largest spike (nats)"),
            [
                (
                    name,
                    _told(cells[name]["spikes per 1000 steps"]),
                    _told(row["finished"]),
                    _told(row["beyond"]),
                    max(
                        (spike["loss"] for spikes in cells[name]["spikes"] for spike in spikes), default=None
                    ),
                )
                for name, row in results["frozen"].items()
            ],
            "Spikes per 1000 steps, or batches, with 95% intervals over seeds. A spike is relative to the level that "
            "it rises from: at a low loss a few hard sequences double it. The difference of the first two was **not "
            "among the claims**: it was added after the first results had been seen.",
            ("text", "text", "text", "text", "number"),
        ),
    ]
    if any(cell["spikes per 1000 steps"]["value"] is not None for cell in cells.values()):
        blocks.append(
            Picture(
                pictures.rates(cells, results["frozen"]),
                f"Means over {len(results['seeds'])} seeds with 95% intervals (Student's t), drawn from 0 on. The "
                "dashed line: finished models of `max, original`.",
                "Loss spikes per 1000 steps after learning, by setting of AdamW and by schedule",
            )
        )
    blocks += [
        Picture(
            pictures.loss_curves(results["losses"]),
            "Loss of each batch before the update; diamonds mark the spikes of all three that are counted.",
            "Training loss of the first seed under max, min and matched on a logarithmic axis, spikes marked",
        ),
        Table(
            ("cell", "spikes per 1000 steps", "large ones", "counted, by seed", "steps after learning"),
            [
                (
                    name,
                    _told(cell["spikes per 1000 steps"]),
                    _told(cell["large per 1000 steps"]),
                    ", ".join(str(len(spikes)) for spikes in cell["spikes"]),
                    _range(cell["steps after learning"]),
                )
                for name, cell in cells.items()
            ],
            "Every cell, with the 95% interval over seeds. **large ones**: those above 1% of a uniform guess' loss, "
            "which `unweave doctor` does not take for the noise of batches; like the table above, added after the "
            "first results had been seen.",
        ),
        Table(
            (
                "cell",
                "learned at step",
                "largest rate",
                "clipped",
                "largest spike",
                "loss at the end",
                "diverged",
            ),
            [_cell_row(name, cell) for name, cell in cells.items()],
            "The same cells. **clipped**: the share of steps after learning whose gradient was clipped; **largest "
            "spike**: the largest of all seeds, over the mean loss of the 50 steps before it; **loss at the end**: "
            "the median of the last 50 steps (nats), the mean over seeds; **diverged**: how many runs.",
            ("text", "text", "number", "number", "number", "number", "number"),
        ),
    ]
    return Section("Spikes in every cell", "cells", blocks)


def _cell_row(name: str, cell: Json) -> tuple[str | int | float | None, ...]:
    overs = [spike["over the 50 steps before"] for spikes in cell["spikes"] for spike in spikes]
    return (
        name,
        _range(cell["learned at step"]),
        cell["largest lr"],
        sum(cell["share clipped"]) / len(cell["share clipped"]),
        max(overs, default=None),
        sum(cell["loss at the end"]) / len(cell["loss at the end"]),
        cell["diverged"],
    )


def _range(steps: Sequence[int | None]) -> str:
    """The least and the most, and how many have none."""
    known = [step for step in steps if step is not None]
    told = f"{min(known)} to {max(known)}" if known else ""
    return (
        told if len(known) == len(steps) else f"{told}; never on {len(steps) - len(known)}".removeprefix("; ")
    )


def _effects(results: Json) -> Section:
    blocks: list[Block] = []
    if any(
        r["from"] == "max, original" and r["share removed"]["value"] is not None for r in results["effects"]
    ):
        blocks.append(
            Picture(
                pictures.shares(results["effects"]),
                "From `max, original`, one thing changed at a time, paired by seed; 95% intervals over seeds.",
                "Share of the spikes under max that each single change removes",
            )
        )
    blocks += [
        Table(
            ("cause", "what is changed", "from", "share removed", "fewer per 1000 steps"),
            [
                (
                    row["cause"],
                    row["change"],
                    row["from"],
                    _percent(row["share removed"]),
                    _told(row["fewer"]),
                )
                for row in results["effects"]
            ],
            "How much of the spiking goes when one thing is changed, wherever both cells were trained. Where few "
            "spikes are left to remove, the share means little and its interval says so.",
        ),
        Table(
            ("two changes", "spikes per 1000 steps, beyond the sum of what each does alone"),
            [(row["changes"], _told(row["beyond the sum"])) for row in results["interactions"]],
            "Interactions. 0: each change does what it does, whether or not the other is made.",
        ),
    ]
    return Section("What each cause explains", "effects", blocks)


def _rate(results: Json) -> Section:
    table = results["by_learning_rate"]
    rows = [
        (name, f"{row['steps'][0]} to {row['steps'][1] - 1}", row["lr"], row["value"], _interval(row))
        for name, parts in table.items()
        for row in parts
    ]
    blocks: list[Block] = []
    if rows:
        blocks.append(
            Picture(
                pictures.by_learning_rate(table),
                "Each point is a sixth of the run in which every seed had learned; means over seeds.",
                "Spikes per 1000 steps against the learning rate of the moment, for max, min and matched",
            )
        )
    blocks.append(
        Table(
            ("cell", "steps", "learning rate in the middle", "spikes per 1000", "95% interval"),
            rows,
            "Under `max` the rate grows along the run, so that time and rate can't be told apart within it; `matched` "
            "has the same rate all along.",
            ("text", "text", "number", "number", "text"),
        )
    )
    return Section("The learning rate of the moment", "rate", blocks)


def _branches(results: Json) -> Section:
    table = results["branches"]
    if not table:
        return Section(
            "From the same place", "branches", (Text("No run came to the step at which branches begin."),)
        )
    return Section(
        "From the same place",
        "branches",
        (
            Picture(
                pictures.branches(table),
                "From checkpoints of `max, original`, every kind on the same new batches, the optimiser's moments "
                "kept. **the rate of min** puts the learning rate back to what it is under `min`, at a stroke.",
                "Loss spikes per 1000 steps of branches from the same checkpoint",
            ),
        ),
    )


def _apart(results: Json) -> Section:
    apart = results["apart"]
    if not apart:
        return Section("Spikes taken apart", "apart", (Text("There was no spike to take apart."),))
    exact = sum(row["exact"] for row in apart)
    return Section(
        "Spikes taken apart",
        "apart",
        (
            Text(
                "The highest spikes of each run with the original's settings are run again from the checkpoint "
                f"before, {exact} of {len(apart)} to the bit. Just before the spike's update the same model is shown "
                "16 other batches: what these lose above the median of the 50 steps before is the **state** that the "
                "model has come to, the rest of the rise is the **batch**."
            ),
            Picture(
                pictures.apart(apart),
                "100%: any batch would have had this loss. 0%: the batch alone is hard. Below 0: the model was better "
                "than its level.",
                "Height of each spike against the share of its rise that other batches have as well, by schedule",
            ),
            Table(
                ("cell", "spikes", "seeds", "share of the state"),
                [
                    (name, row["spikes"], row["seeds"], _percent(row))
                    for name, row in results["states"].items()
                ],
                "The mean over a seed's spikes, then over the seeds that have any, with the 95% interval over these.",
                ("text", "number", "number", "text"),
            ),
        ),
    )


def _original(results: Json) -> Section:
    cells = results["cells"]
    high, low = (cells[f"{schedule}, original"]["spikes per 1000 steps"] for schedule in ("max", "min"))
    size = "the original's own size" if results["preset"] == "paper" else "a smaller task than the original's"
    lowest, highest = (high["interval"] or [None])[0], (low["interval"] or [None])[-1]
    apart = lowest is not None and highest is not None and lowest > highest
    meaning = (
        "The two intervals do not overlap: spikes like those of the stored run go with `max`. That it was made before the "
        "schedule was corrected is the simplest account; nothing here can prove it."
        if apart
        else "The two intervals overlap: by their number alone this study does not tell which of the schedules the "
        "stored run had."
    )
    return Section(
        "The original's stored run",
        "original",
        (
            Text(
                "The run that is stored with the original notebook has 36 clusters of steps above 0.1 nats after step "
                "1000, the highest 0.359, although the notebook says `min`. At the original's size, `unweave run "
                "no-position --preset uncorrected`, with `max`, has 35, the highest 0.320, and a loss that follows "
                "the original's from step 100 on; with `min` three seeds have none after step 2,607, and learn more "
                f"slowly than the original did.\n\nHere, on {size}, `max` has {_told(high)} spikes per 1000 steps and "
                f"`min` {_told(low)}. {meaning}"
            ),
        ),
    )


def _about(results: Json) -> Section:
    config = results["config"]
    settings = {**config["task"], **config["model"], **config["training"]}
    return Section(
        "How this was made",
        "about",
        (
            Table(
                ("setting", "value"),
                [(name, str(value)) for name, value in settings.items()],
                f"Task, model and training that all cells share, preset {results['preset']}; seeds {results['seed']}. "
                "The schedule and what a cell's name says are what differs.",
            ),
            Table(
                ("part", "seconds"),
                [(name, float(seconds)) for name, seconds in results["times"].items()],
                "Time taken by this call; what an earlier one had done was not done again.",
                ("text", "number"),
            ),
        ),
    )


def _told(row: Json) -> str:
    """A number with its interval, in a sentence."""
    if row["value"] is None:
        return "not defined"
    return f"{row['value']:.1f} {_interval(row)}".rstrip()


def _percent(row: Json) -> str:
    return (
        "not defined"
        if row["value"] is None
        else f"{100 * row['value']:.0f}% {_interval(row, 100.0)}".rstrip()
    )


def _interval(row: Json, scale: float = 1.0) -> str:
    ends = row["interval"]
    if ends is None:
        return ""
    if None in ends:
        return "[no bound]"
    return f"[{scale * ends[0]:.3g}, {scale * ends[1]:.3g}]"
