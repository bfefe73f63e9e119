"""Unweave, TransformerLens 3.9.0, 4.3.0's native bridge and plain PyTorch, interleaved.

Each library runs in a process of its own and does one repetition when asked, in turn with the others.
Medians in milliseconds; ratios are medians over the rounds, so that a busy moment falls on all alike.
"""

from __future__ import annotations

import argparse
import itertools
import json
import os
import platform
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from statistics import median
from typing import Any

from bench.peers.channel import Worker
from bench.peers.environment import NEXT_PEER, NEXT_VARIABLE, PeerAbsent, peer_python
from bench.speed.shapes import SHAPES

OURS, PEER, BRIDGE, FLOOR = "Unweave", "TL 3.9.0", "TL 4.3.0 native", "plain PyTorch"
MODULES = {OURS: "our_worker", PEER: "tl_worker", BRIDGE: "bridge_worker", FLOOR: "plain_worker"}
IMPORTS = {
    OURS: "import unweave; unweave.HookedTransformer",
    PEER: "import transformer_lens",
    BRIDGE: "from transformer_lens.model_bridge.sources.native import boot",
}
IMPORT_REPEATS = 5
IMPORT_AIM_MS = 200


@dataclass(frozen=True)
class Measure:
    """What is timed, and which of its ratios has an aim.

    Args:
        ask: the worker's method.
        aim: the largest ratio wanted, and the library that it is measured against.
        peers_ask: what the versions of TransformerLens are asked instead.
    """

    title: str
    ask: str
    aim: tuple[float, str] | None = None
    peers_ask: str | None = None

    def of(self, library: str) -> str:
        """What this library is asked."""
        return self.peers_ask if self.peers_ask and library in (PEER, BRIDGE) else self.ask


MEASURES = [
    Measure("training step, fp32", "step_fp32", (0.8, PEER)),
    # TransformerLens has no such setting: its step stays fp32.
    Measure("training step, products bf16", "step_bf16", (0.5, PEER), peers_ask="step_fp32"),
    Measure("forward, batch 4", "forward_small", (1.25, FLOOR)),
    Measure("forward, batch 256", "forward_large"),
    Measure("run_with_cache, batch 4", "cache", (1.6, FLOOR)),
    Measure("run_with_cache, one site a layer", "cache_filtered"),
    Measure("generate 64 tokens", "generate"),
]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=__doc__)
    parser.add_argument("--peer-python", help="the Python with transformer-lens 3.9.0 (or UNWEAVE_TL_PYTHON)")
    parser.add_argument("--bridge-python", help=f"the one with 4.3.0 (or {NEXT_VARIABLE})")
    parser.add_argument(
        "--shape", choices=list(SHAPES), action="append", help="only this one; may be repeated"
    )
    parser.add_argument(
        "--only",
        choices=["import", *(measure.ask for measure in MEASURES)],
        action="append",
        help="only this measure; may be repeated",
    )
    parser.add_argument("--rounds", type=int, help="how often each library is timed")
    parser.add_argument("--threads", type=int, help="threads of each process (default: torch's own choice)")
    parser.add_argument("--quick", action="store_true", help="one round: to see that it works")
    parser.add_argument("--json", type=Path, metavar="PATH", help="write every time to this file")
    options = parser.parse_args()
    pythons = find_pythons(options.peer_python, options.bridge_python)
    about: dict[str, Any] = {"date": datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"), "machine": machine()}
    print(f"{about['date']}; {about['machine']}")
    rounds = 1 if options.quick else options.rounds
    if options.only is None or "import" in options.only:
        about["import"] = measure_imports(pythons, rounds or IMPORT_REPEATS)
    measures = [measure for measure in MEASURES if options.only is None or measure.ask in options.only]
    for name in (options.shape or SHAPES) if measures else []:
        about[name] = measure_shape(name, pythons, measures, rounds or SHAPES[name].rounds, options.threads)
    if options.json:
        options.json.write_text(json.dumps(about, indent=1) + "\n")
    return 0


def find_pythons(peer: str | None, bridge: str | None) -> dict[str, Path]:
    """The interpreters of those that are there; who is missing is named."""
    pythons = {OURS: Path(sys.executable)}
    for library, find in (
        (PEER, lambda: peer_python(peer)),
        (BRIDGE, lambda: peer_python(bridge, NEXT_VARIABLE, NEXT_PEER)),
    ):
        try:
            pythons[library] = find()
        except PeerAbsent as absent:
            print(f"Not measured: {library}, since {absent}")
    return {**pythons, FLOOR: Path(sys.executable)}


def machine() -> str:
    """The processor and how many cores this process may use."""
    named = "unknown processor"
    if Path("/proc/cpuinfo").exists():
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        named = next((line.split(":")[1].strip() for line in lines if line.startswith("model name")), named)
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return f"{named}, {cores} cores, {platform.system()}"


def measure_imports(pythons: dict[str, Path], repeats: int) -> dict[str, list[float]]:
    """Fresh processes in turn; the clock runs when torch has been imported."""
    present = [library for library in IMPORTS if library in pythons]
    taken = in_turn(present, repeats, lambda library: import_ms(pythons[library], IMPORTS[library]))
    print("== import, beyond torch")
    for library, times in taken.items():
        aim = aim_told(median(times), IMPORT_AIM_MS, " ms") if library == OURS else ""
        print(f"{library:<34} {median(times):9.1f} ms   {aim}".rstrip(), flush=True)
    return taken


def import_ms(python: Path, statement: str) -> float:
    script = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import torch\nfrom time import perf_counter\nbegun = perf_counter()\n"
        f"{statement}\nprint('took', 1000 * (perf_counter() - begun))"
    )
    output = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True).stdout
    return float(output.split()[-1])


def measure_shape(
    name: str, pythons: dict[str, Path], measures: list[Measure], rounds: int, threads: int | None
) -> dict[str, Any]:
    """One table: a line a measure."""
    print(f"== {name}, {rounds} round{'s' * (rounds > 1)}, milliseconds")
    taken: dict[str, Any] = {}
    with ExitStack() as stack:
        workers = {
            library: stack.enter_context(Worker(python, f"bench.speed.{MODULES[library]}", threads=threads))
            for library, python in pythons.items()
        }
        taken["versions"] = {library: asked(worker, "about", name) for library, worker in workers.items()}
        print("; ".join(f"{library}: {told(about)}" for library, about in taken["versions"].items()))
        print(f"{'':<34} {''.join(f'{library:>17}' for library in workers)}", flush=True)
        for worker in workers.values():
            asked(worker, "build", name)
        for measure in measures:
            taken[measure.ask] = measured(measure, workers, rounds)
            show(measure, taken[measure.ask])
    return taken


def told(about: dict[str, Any]) -> str:
    return f"Python {about['python']}, torch {about['torch']}, {about['threads']} threads"


def measured(measure: Measure, workers: dict[str, Worker], rounds: int) -> dict[str, list[float]]:
    """Milliseconds of each library, round by round, after one round that does not count."""
    done = itertools.count()

    def once(library: str) -> float:
        if sys.stderr.isatty():
            print(
                f"\r{measure.title}: {next(done)} of {(rounds + 1) * len(workers)} ", end="", file=sys.stderr
            )
        return asked(workers[library], "time", measure.of(library))["ms"]

    for library in workers:
        once(library)
    taken = in_turn(list(workers), rounds, once)
    if sys.stderr.isatty():
        print("\r", end="", file=sys.stderr)
    return taken


def in_turn(libraries: list[str], repeats: int, once: Callable[[str], float]) -> dict[str, list[float]]:
    """`repeats` rounds, each in another order."""
    orders = itertools.cycle(itertools.permutations(libraries))
    taken: dict[str, list[float]] = {library: [] for library in libraries}
    for order in itertools.islice(orders, repeats):
        for library in order:
            taken[library].append(once(library))
    return taken


def asked(worker: Worker, ask: str, name: str) -> dict[str, Any]:
    reply = worker.ask(ask=ask, name=name)
    if "error" in reply:
        raise RuntimeError(f"{worker.module} could not {ask} {name}: {reply['error']}")
    return reply


def show(measure: Measure, taken: dict[str, list[float]]) -> None:
    columns = "".join(f"{median(times):17.2f}" for times in taken.values())
    ratios = {
        library: median(ours / theirs for ours, theirs in zip(taken[OURS], times, strict=True))
        for library, times in taken.items()
        if library != OURS
    }
    ratios_told = ", ".join(f"{ratio:.2f}x {library}" for library, ratio in ratios.items())
    limit, against = measure.aim or (0.0, "")
    aim = aim_told(ratios[against], limit, f"x {against}") if against in ratios else ""
    print(f"{measure.title:<34} {columns}   {ratios_told}   {aim}".rstrip(), flush=True)


def aim_told(got: float, limit: float, unit: str) -> str:
    return f"aim {limit:g}{unit}: {'kept' if got <= limit else 'missed'}"


if __name__ == "__main__":
    sys.exit(main())
