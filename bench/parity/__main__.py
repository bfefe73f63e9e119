"""Every hook of TransformerLens 3.9.0 against ours, over the grid: `python -m bench.parity`.

Exits with 1 if a tensor differs; with --complete, also if something is not yet compared.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path

from safetensors.torch import load_file, save_file

from bench.parity.compare import Finding, NotYet, compare, our_model
from bench.parity.grid import CASES, Case
from bench.parity.weights import padding_mask, random_tokens, random_weights
from bench.peers.channel import Worker
from bench.peers.environment import PeerAbsent, peer_python


@dataclass(frozen=True)
class Outcome:
    """What came of one case: findings, or the reason why there are none."""

    case: Case
    findings: list[Finding] = field(default_factory=list)
    not_yet: str = ""
    peer_cannot: str = ""

    @property
    def differing(self) -> list[Finding]:
        return [finding for finding in self.findings if finding.verdict == "differs"]

    @property
    def summary(self) -> str:
        if self.not_yet or self.peer_cannot:
            return f"not yet: {self.not_yet}" if self.not_yet else f"the peer cannot: {self.peer_cannot}"
        counts = Counter(finding.verdict for finding in self.findings)
        worst = max((f.error for f in self.findings if f.verdict != "differs"), default=0.0)
        told = ", ".join(f"{count} {verdict}" for verdict, count in counts.items())
        return f"{told}; largest error {worst:.0e}"


def run_case(case: Case, worker: Worker, folder: Path) -> Outcome:
    """Build ours, give the peer the same config, weights and tokens, and compare."""
    try:
        model = our_model(case.config)
    except NotYet as refused:
        return Outcome(case, not_yet=str(refused))
    weights = random_weights(model.state_dict())
    model.load_state_dict(weights)
    model.eval()
    tokens = random_tokens(case.config)
    mask = padding_mask(case.padding) if case.padding else None
    inputs, outputs = folder / "inputs.safetensors", folder / "outputs.safetensors"
    save_file({**weights, "tokens": tokens, **({} if mask is None else {"attention_mask": mask})}, inputs)
    reply = worker.ask(config=case.config, inputs=str(inputs), outputs=str(outputs))
    if "error" in reply and reply["error"].startswith("WeightsDiffer"):
        return Outcome(case, [Finding("weights", "differs", reason=reply["error"])])
    if "error" in reply:
        return Outcome(case, peer_cannot=reply["error"])
    try:
        return Outcome(case, compare(model, case.config, tokens, mask, load_file(outputs)))
    except NotYet as refused:
        return Outcome(case, not_yet=str(refused))


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.parity", description=__doc__)
    parser.add_argument("--peer-python", help="the Python with transformer-lens (or UNWEAVE_TL_PYTHON)")
    parser.add_argument("--only", default="", help="only cases whose name holds this text")
    parser.add_argument("--complete", action="store_true", help="fail also on what is not yet compared")
    parser.add_argument("-v", "--verbose", action="store_true", help="show every hook")
    options = parser.parse_args()
    try:
        python = peer_python(options.peer_python)
    except PeerAbsent as absent:
        print(f"Not compared: {absent}", file=sys.stderr)
        return 2
    with Worker(python, "bench.parity.tl_worker") as worker, tempfile.TemporaryDirectory() as folder:
        outcomes: list[Outcome] = []
        for case in (case for case in CASES if options.only in case.name):
            outcomes.append(run_case(case, worker, Path(folder)))
            show(outcomes[-1], options.verbose)
    return conclude(outcomes, options.complete)


def show(outcome: Outcome, verbose: bool) -> None:
    print(f"{outcome.case.name:<42} {outcome.summary}", flush=True)
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
        f"{len(compared)} of {len(outcomes)} configs compared, {len(findings)} tensors; "
        f"{len(differing)} configs differ; {len(refused)} not yet ours; "
        f"{sum(bool(outcome.peer_cannot) for outcome in outcomes)} that the peer cannot run"
    )
    unfinished = bool(refused) or any(finding.verdict == "not yet" for finding in findings)
    return int(bool(differing) or (complete and unfinished))


if __name__ == "__main__":
    sys.exit(main())
