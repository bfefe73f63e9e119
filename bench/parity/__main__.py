"""TransformerLens 3.9.0 against ours: `python -m bench.parity`.

Every hook and the logits over the grid; every call of calls.py on a part of it, on weights as they are
and processed; factored matrices; how weights begin. What it cannot run is compared with the tests'
own implementation. Exits with 1 if a tensor differs; with --complete, also if something is not compared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file, save_file

from bench.parity.beginnings import run_beginnings
from bench.parity.called import run_calls, run_factored
from bench.parity.compare import Finding, NotYet, compare, our_model
from bench.parity.grid import CALLED, CASES, Case
from bench.parity.referenced import run_referenced
from bench.parity.weights import padding_mask, random_tokens, random_weights
from bench.peers.channel import Worker
from bench.peers.environment import PeerAbsent, peer_python


@dataclass(frozen=True)
class Outcome:
    """What came of one case: findings, or the reason why there are none."""

    name: str
    findings: list[Finding] = field(default_factory=list)
    not_yet: str = ""
    peer_cannot: str = ""

    @property
    def differing(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict == "differs"]

    @property
    def summary(self) -> str:
        if self.not_yet:
            return f"not yet: {self.not_yet}"
        counts = Counter(finding.verdict for finding in self.findings)
        worst = max((f.error for f in self.findings if f.verdict != "differs"), default=0.0)
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        instead = f"; by the tests' own implementation, since: {self.peer_cannot}" if self.peer_cannot else ""
        return f"{told}; largest error {worst:.0e}{instead}"


def run_case(case: Case, worker: Worker, folder: Path, door: bool = False) -> Outcome:
    """Build ours, give the peer the same config, weights and tokens, and compare."""
    try:
        model = our_model(case.config, door)
    except NotYet as refused:
        return Outcome(case.name, not_yet=str(refused))
    weights = random_weights(model.state_dict())
    model.load_state_dict(weights)
    model.eval()
    tokens = random_tokens(case.config)
    mask = padding_mask(case.padding) if case.padding else None
    inputs, outputs = folder / "inputs.safetensors", folder / "outputs.safetensors"
    save_file({**weights, "tokens": tokens, **({} if mask is None else {"attention_mask": mask})}, inputs)
    reply = worker.ask(config=case.config, inputs=str(inputs), outputs=str(outputs))
    if "error" in reply and reply["error"].startswith("WeightsDiffer"):
        return Outcome(case.name, [Finding("weights", "differs", reason=reply["error"])])
    if "error" in reply:
        return Outcome(case.name, run_referenced(case), peer_cannot=reply["error"])
    try:
        return Outcome(case.name, compare(model, case.config, tokens, mask, load_file(outputs)))
    except NotYet as refused:
        return Outcome(case.name, not_yet=str(refused))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.parity", description=__doc__)
    parser.add_argument("--peer-python", help="the Python with transformer-lens (or UNWEAVE_TL_PYTHON)")
    parser.add_argument("--only", default="", help="only cases whose name holds this text")
    parser.add_argument("--complete", action="store_true", help="fail also on what is not yet compared")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every hook")
    parser.add_argument("--door", action="store_true", help="our side is unweave.compat.transformer_lens")
    options = parser.parse_args()
    try:
        python = peer_python(options.peer_python)
    except PeerAbsent as absent:
        print(f"Not compared: {absent}", file=sys.stderr)
        return 2
    with Worker(python, "bench.parity.tl_worker") as worker, tempfile.TemporaryDirectory() as name:
        outcomes: list[Outcome] = []
        for run in runs(worker, Path(name), options.only, options.door):
            outcomes.append(run)
            show(run, options.verbose)
    return conclude(outcomes, options.complete)


def runs(worker: Worker, folder: Path, only: str, door: bool = False) -> Iterator[Outcome]:
    """Every comparison whose name holds the text `only`, as it is made."""
    for case in CASES:
        if only in case.name:
            yield run_case(case, worker, folder, door)
    for case in CALLED:
        if only in f"calls: {case.name}":
            yield Outcome(f"calls: {case.name}", run_calls(case, worker, folder, door))
    if only in "factored matrices":
        yield Outcome("factored matrices", run_factored(worker, folder))
    if only in "how weights begin":
        yield Outcome("how weights begin", run_beginnings(worker))


def show(outcome: Outcome, verbose: bool) -> None:
    print(f"{outcome.name:<42} {outcome.summary}", flush=True)
    for finding in outcome.findings if verbose else outcome.differing:
        print(f"    {finding.name:<34} {finding.verdict:<17} {finding.error:.1e} {finding.reason}".rstrip())


def conclude(outcomes: list[Outcome], complete: bool) -> int:
    """Print the totals; the exit code."""
    findings = [finding for outcome in outcomes for finding in outcome.findings]
    for verdict in ("known difference", "not yet"):
        reasons = Counter(f.reason for f in findings if f.verdict == verdict)
        for reason, count in reasons.items():
            print(f"{verdict} ({count} tensors): {reason}")
    compared = [outcome for outcome in outcomes if outcome.findings]
    differing = [outcome for outcome in compared if outcome.differing]
    refused = [outcome for outcome in outcomes if outcome.not_yet]
    print(
        f"{len(compared)} of {len(outcomes)} comparisons made, {len(findings)} tensors; "
        f"{len(differing)} differ; {len(refused)} not yet ours; "
        f"{sum(bool(outcome.peer_cannot) for outcome in outcomes)} that the peer cannot run"
    )
    unfinished = bool(refused) or any(finding.verdict == "not yet" for finding in findings)
    return int(bool(differing) or (complete and unfinished))


if __name__ == "__main__":
    sys.exit(main())
