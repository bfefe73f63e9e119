"""An experiment's claims as records: what is predicted is written before the run, what was found after it."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from unweave.core.claims import Claim
from unweave.core.errors import InputError
from unweave.journal.entries import Entry
from unweave.journal.records import Evidence, Experiment, Hypothesis, Judgement, Outcome, Prediction
from unweave.journal.store import Journal

_CAME_OUT = {"supported": "yes", "refuted": "no", "inconclusive": "unclear"}


@dataclass(frozen=True)
class Declared:
    """Claims that stand in a journal, before their run.

    Args:
        experiment: the id of its entry.
        hypotheses, predictions: the ids of theirs, by the id of the claim.
    """

    experiment: str
    hypotheses: Mapping[str, str]
    predictions: Mapping[str, str]


def declare(
    journal: Journal, experiment: Experiment, claims: Iterable[Claim], *, session: str | None = None
) -> Declared:
    """Write an experiment and its claims: of each a hypothesis, its rivals, and a prediction. In one transaction.

    Args:
        journal: open to write.
        experiment: that is about to run.
        claims: that it will test.
        session: the id of the recorded session that it runs in.
    """
    hypotheses, predictions = dict[str, str](), dict[str, str]()
    with journal.transaction():
        run = journal.add(experiment, session=session)
        for claim in claims:
            said = Hypothesis(claim.statement)
            hypothesis = journal.add(said, about=run.id, session=session).id
            for rival in claim.rivals:
                journal.add(Hypothesis(rival, rival_of=hypothesis), about=hypothesis, session=session)
            statement = (
                f"{claim.prediction} Threshold: {claim.threshold.rstrip('.')}. Control: {claim.control}"
            )
            prediction = Prediction(statement, seen_so_far=claim.amended)
            predictions[claim.id] = journal.add(prediction, about=hypothesis, session=session).id
            hypotheses[claim.id] = hypothesis
    return Declared(run.id, hypotheses, predictions)


def settle(
    journal: Journal,
    declared: Declared,
    tested: Sequence[Mapping[str, Any]],
    *,
    seeds: tuple[int, ...] = (),
    session: str | None = None,
) -> list[Entry]:
    """Write what came of declared claims: of each evidence, the outcome of its prediction, and a verdict.

    Args:
        journal: open to write.
        declared: what `declare` gave.
        tested: the records that `Claim.tested` gives, one a claim.
        seeds: that the evidence is over.
        session: as for `declare`.

    Returns:
        The verdicts.

    Raises:
        InputError: for a claim that had not been declared.
    """
    unknown = [str(claim["id"]) for claim in tested if claim["id"] not in declared.predictions]
    if unknown:
        raise InputError(
            wanted="claims that were declared before their run",
            got=", ".join(unknown),
            remedy="declare them first: what is written after its result is no prediction",
        )
    verdicts: list[Entry] = []
    with journal.transaction():
        for claim in tested:
            prediction, verdict = declared.predictions[claim["id"]], str(claim["verdict"])
            evidence = _evidence(claim, declared.experiment, seeds)
            journal.add(evidence, about=prediction, session=session)
            journal.add(
                Outcome(_CAME_OUT[verdict], note=str(claim["reason"])), about=prediction, session=session
            )
            judged = Judgement(verdict, str(claim["reason"]))
            verdicts.append(journal.add(judged, about=declared.hypotheses[claim["id"]], session=session))
    return verdicts


def broke_off(journal: Journal, declared: Declared, why: str, *, session: str | None = None) -> Entry:
    """Write that the run of declared claims failed; its predictions stay open."""
    said = Evidence("The run broke off.", experiment=declared.experiment, failed=why)
    return journal.add(said, about=declared.experiment, session=session)


def _evidence(claim: Mapping[str, Any], experiment: str, seeds: tuple[int, ...]) -> Evidence:
    """What a claim's test measured: the first measurement as the number, all of them as facts."""
    first = next((row for row in claim["measured"] if row["value"] is not None), None)
    low, high = (first["interval"] or (None, None)) if first else (None, None)
    whole = None not in (low, high)
    return Evidence(
        f"{claim['title']}: {claim['reason']}",
        metric=first["name"] if first else "",
        value=first["value"] if first else None,
        low=low if whole else None,
        high=high if whole else None,
        unit=first["unit"] if first else "",
        control={row["name"]: row["value"] for row in claim["control"]},
        control_kind=str(claim["control_design"]),
        seeds=seeds,
        experiment=experiment,
        source="claim",
        facts={"measured": [*claim["measured"]], "checks": [*claim["checks"]], "claim": claim["id"]},
    )
