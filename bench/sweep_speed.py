"""Sweeps, beside the loop of full runs that TransformerLens 3.9.0's patching functions make.

The peer's passes are timed one by one, in turn with our sweeps; of its passes `--passes` are run, spread
over the grid, and their mean is scaled to all of them (a pass takes as long whatever is patched). Seconds.
Ours is all that `unweave.sweep` does: the source's run, eight random controls (that many more patches than the
loop makes), hashes of weights and data, intervals. The loop's source run is not counted.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from statistics import median

ROOT = Path(__file__).resolve().parents[1]
if str(ROOT) not in sys.path:
    sys.path.insert(0, str(ROOT))

from bench.peers.channel import Worker  # noqa: E402
from bench.peers.environment import PeerAbsent, peer_python  # noqa: E402
from bench.sweeps.cases import CASES  # noqa: E402


def main() -> int:
    """Measure what was asked for, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--only", nargs="*", choices=list(CASES), help="some of the sweeps")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--passes", type=int, default=12, help="of the peer's, a round")
    parser.add_argument("--threads", type=int)
    parser.add_argument("--device", help="where both run; else the CPU, then a GPU if there is one")
    parser.add_argument("--peer", help="the Python with transformer-lens 3.9.0")
    given = parser.parse_args()
    try:
        peer = peer_python(given.peer)
    except PeerAbsent as absent:
        print(f"TransformerLens is left out: {absent}")
        peer = None
    for device in [given.device] if given.device else devices():
        print(f"{device:<48}{'Unweave':>10}{'TransformerLens':>18}")
        for name in given.only or CASES:
            print(measured(name, peer, given.rounds, given.passes, given.threads, device), flush=True)
    return 0


def devices() -> list[str]:
    """The CPU, and a GPU if there is one."""
    import torch

    return ["cpu", *(["cuda"] if torch.cuda.is_available() else [])]


def measured(name: str, peer: Path | None, rounds: int, passes: int, threads: int | None, device: str) -> str:
    """One line of the table."""
    case = CASES[name]
    with ExitStack() as stack:
        ours = stack.enter_context(Worker(sys.executable, "bench.sweeps.our_worker", threads=threads))
        theirs = None
        if peer is not None:
            theirs = stack.enter_context(Worker(peer, "bench.sweeps.tl_worker", threads=threads))
        workers = [worker for worker in (ours, theirs) if worker is not None]
        for worker in workers:
            asked(worker, "build", name, device)
        taken: dict[str, list[float]] = {"ours": [], "theirs": []}
        asked(ours, "sweep", name, device)
        for _ in range(rounds):
            taken["ours"].append(asked(ours, "sweep", name, device))
            if theirs is not None:
                taken["theirs"].append(asked(theirs, "sweep", name, device, passes) * case.passes)
    line = f"{case.title:<48}{median(taken['ours']):>10.2f}"
    if not taken["theirs"]:
        return line
    ratios = [them / us for us, them in zip(taken["ours"], taken["theirs"], strict=True)]
    aim = (
        ""
        if case.aim is None
        else f"   aim {case.aim:g}: {'kept' if median(ratios) >= case.aim else 'missed'}"
    )
    span = f"({min(ratios):.1f} to {max(ratios):.1f})"
    return f"{line}{median(taken['theirs']):>18.2f}   {median(ratios):.1f} times faster {span}{aim}"


def asked(worker: Worker, ask: str, name: str, device: str, passes: int = 0) -> float:
    reply = worker.ask(ask=ask, name=name, passes=passes, device=device)
    if "error" in reply:
        raise subprocess.SubprocessError(f"{worker.module} could not {ask} {name}: {reply['error']}")
    return reply.get("seconds", 0.0)


if __name__ == "__main__":
    sys.exit(main())
