"""What a critical reader would ask about a journal. Advice, no verdict: each with where it is argued, and its mend."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from unweave.journal.entries import Entry
from unweave.journal.records import ABLATIONS
from unweave.journal.research import ResearchLog, part, title
from unweave.journal.store import Journal

NEAR_END = 0.01  # of the way from floor to ceiling: so near to an end, a metric can't tell much


@dataclass(frozen=True)
class Rule:
    """One question of a reader's.

    Args:
        name: short.
        reference: who argues that it matters.
        mend: the cheapest thing that would answer it.
        ask: finds the entries, each with what is to be said.
    """

    name: str
    reference: str
    mend: str
    ask: Callable[[ResearchLog], Iterator[tuple[Entry, str]]]


@dataclass(frozen=True)
class Advice:
    """One answer that is missing."""

    rule: str
    entry: Entry
    text: str
    reference: str
    mend: str

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "rule": self.rule,
            "id": self.entry.id,
            "seq": self.entry.seq,
            "kind": self.entry.kind,
            "text": self.text,
            "reference": self.reference,
            "mend": self.mend,
        }


@dataclass(frozen=True)
class Audit:
    """What was found.

    Args:
        advice: in the order of the log.
        looked_at: how many entries were looked at.
        exploratory: how many were passed over, since they are marked as looking around.
    """

    advice: tuple[Advice, ...]
    looked_at: int
    exploratory: int

    def to_dict(self) -> dict[str, Any]:
        """JSON values."""
        return {
            "advice": [one.to_dict() for one in self.advice],
            "looked_at": self.looked_at,
            "exploratory": self.exploratory,
        }


def audit(journal: Journal) -> Audit:
    """Ask every rule's question of a journal.

    Only what was written down can be looked at: that nothing is said does not mean that nothing is wrong. What is marked
    exploratory (a question, an experiment, a session, and what is about them) is passed over.
    """
    log = ResearchLog.read(journal)
    passed = {entry.id for entry in log.entries.values() if log.exploratory(entry)}
    found = [
        Advice(rule.name, entry, text, rule.reference, rule.mend)
        for rule in RULES
        for entry, text in rule.ask(log)
        if entry.id not in passed
    ]
    found.sort(key=lambda one: (one.entry.seq, [rule.name for rule in RULES].index(one.rule)))
    return Audit(tuple(found), len(log.entries) - len(passed), len(passed))


def _after_the_result(log: ResearchLog) -> Iterator[tuple[Entry, str]]:
    for prediction, evidence in log.late():
        yield prediction, f"predicted after evidence on the same was written (entry {evidence.seq})"
    for prediction, outcome in log.at_once():
        yield (
            prediction,
            f"its outcome (entry {outcome.seq}) followed with nothing run between: was the result there?",
        )


def _no_control(log: ResearchLog) -> Iterator[tuple[Entry, str]]:
    for one in _measured(log):
        if not (part(one, "control") or part(one, "control_kind")):
            yield one, "no control says what the number would be if the claim were false"


def _one_seed(log: ResearchLog) -> Iterator[tuple[Entry, str]]:
    for verdict, evidence in _supported(log):
        runs = [*evidence, *(s for one in evidence for s in log.subjects(one) if s.kind == "experiment")]
        seeds = {seed for run in runs for seed in part(run, "seeds") or ()}
        if len(seeds) == 1:
            yield verdict, f"supported on one seed, {next(iter(seeds))}"


def _ablation_unstated(log: ResearchLog) -> Iterator[tuple[Entry, str]]:
    for one in (*log.of("experiment"), *log.of("evidence")):
        stated = [part(thing, "ablation") for thing in (one, *log.subjects(one))]
        words = _words(one)
        if re.search(r"\bablat", words) and not any(stated) and not re.search(_SAID_ABLATION, words):
            yield one, "an ablation, and not said by what the activations are replaced"


def _probe_without_control(log: ResearchLog) -> Iterator[tuple[Entry, str]]:
    for one in log.of("evidence"):
        words = f"{_words(one)} {part(one, 'control_kind') or ''} {' '.join(map(str, part(one, 'control') or ()))}".lower()
        if re.search(r"\bprob(e|es|ed|ing)\b", words) and not re.search(_SAID_PROBE_CONTROL, words):
            yield one, "a probe, and no control task says how much the probe itself could have learned"


def _floor_or_ceiling(log: ResearchLog) -> Iterator[tuple[Entry, str]]:
    for one in _measured(log):
        value, floor, ceiling = (part(one, name) for name in ("value", "floor", "ceiling"))
        if re.search(r"\baccurac(y|ies)\b", _words(one)):
            floor, ceiling = 0.0 if floor is None else floor, 1.0 if ceiling is None else ceiling
        margin = NEAR_END * (ceiling - floor) if None not in (floor, ceiling) else 0.0
        if floor is not None and value <= floor + margin:
            yield one, f"{value:g} is at the metric's floor, {floor:g}: what makes it worse can't be seen"
        if ceiling is not None and value >= ceiling - margin:
            yield (
                one,
                f"{value:g} is at the metric's ceiling, {ceiling:g}: what makes it better can't be seen",
            )


def _above_uniform(log: ResearchLog) -> Iterator[tuple[Entry, str]]:
    for one in _measured(log):
        value, chance = part(one, "value"), part(one, "chance")
        if chance is not None and re.search(r"\bloss\b", _words(one)) and value > chance:
            yield one, f"a loss of {value:.4g}, above the {chance:.4g} of guessing evenly"


def _one_example(log: ResearchLog) -> Iterator[tuple[Entry, str]]:
    for verdict, evidence in _supported(log):
        counts = [part(one, "n") for one in evidence if part(one, "n") is not None]
        if counts and max(counts) == 1:
            yield verdict, "supported by one example"


def _not_held_out(log: ResearchLog) -> Iterator[tuple[Entry, str]]:
    for verdict, evidence in _supported(log):
        said = {part(thing, "held_out") for one in evidence for thing in (one, *log.subjects(one))}
        if evidence and True not in said:
            known = (
                "no evidence is on held-out data"
                if False in said
                else "not said whether any data was held out"
            )
            yield verdict, known


RULES: tuple[Rule, ...] = (
    Rule(
        "prediction after result",
        "Kerr, 1998, HARKing: hypothesizing after the results are known",
        "say what had been seen (seen_so_far), and predict the next run before it starts",
        _after_the_result,
    ),
    Rule(
        "no control",
        "Adebayo et al., 2018, Sanity checks for saliency maps, arXiv:1810.03292",
        "run the same on random directions, random weights or shuffled labels (sweep(…, controls=8))",
        _no_control,
    ),
    Rule(
        "one seed",
        "Sellam et al., 2022, The MultiBERTs, arXiv:2106.16163",
        "train two more seeds, and say how many of the three agree",
        _one_seed,
    ),
    Rule(
        "ablation kind unstated",
        "Zhang and Nanda, 2023, Towards best practices of activation patching, arXiv:2309.16042",
        f"say which: {', '.join(ABLATIONS)}; where it is cheap, try two and compare",
        _ablation_unstated,
    ),
    Rule(
        "probe without a control task",
        "Hewitt and Liang, 2019, Designing and interpreting probes with control tasks, arXiv:1909.03368",
        "fit the same probe to random labels by token, and give the difference (unweave.probes does)",
        _probe_without_control,
    ),
    Rule(
        "metric at floor or ceiling",
        "Bowman and Dahl, 2021, What will it take to fix benchmarking in natural language understanding?, arXiv:2104.02145",
        "measure a logit difference or a loss in place of an accuracy, or take harder inputs",
        _floor_or_ceiling,
    ),
    Rule(
        "loss above uniform",
        "Karpathy, 2019, A recipe for training neural networks, karpathy.github.io/2019/04/25/recipe",
        "look for a bug first: labels shifted by one, logits scaled, a wrong vocabulary",
        _above_uniform,
    ),
    Rule(
        "key claim from one example",
        "Bolukbasi et al., 2021, An interpretability illusion for BERT, arXiv:2104.07143",
        "run it on 30 inputs drawn beforehand, and show those on which it fails",
        _one_example,
    ),
    Rule(
        "no held-out data",
        "Kriegeskorte et al., 2009, Circular analysis in systems neuroscience, doi:10.1038/nn.2303",
        "draw fresh inputs that nothing was chosen on, and measure once more (held_out=True)",
        _not_held_out,
    ),
)

_SAID_ABLATION = r"\b(zero|mean|resampl\w*|random|noise|optimal|interchange)\b"
_SAID_PROBE_CONTROL = r"control[ _-]?task|selectivity|random label|shuffled label"


def _measured(log: ResearchLog) -> list[Entry]:
    return [one for one in log.of("evidence") if part(one, "value") is not None]


def _supported(log: ResearchLog) -> Iterator[tuple[Entry, list[Entry]]]:
    """The last verdicts that support, each with the evidence on its hypothesis."""
    for hypothesis in log.of("hypothesis"):
        verdict = log.verdict(hypothesis)
        if verdict is not None and part(verdict, "verdict") == "supported":
            yield verdict, [one for one in log.evidence(hypothesis.id) if not part(one, "failed")]


def _words(entry: Entry) -> str:
    return f"{title(entry, 10_000)} {part(entry, 'metric') or ''}".lower()
