"""Import, training step, forward and cache: Unweave, TransformerLens 3.9.0 and plain PyTorch, interleaved.

Each library runs in a process of its own and does one repetition when asked, in turn with the others.
Medians in milliseconds; ratios are medians over the rounds, so that a busy moment falls on all alike.
"""

from __future__ import annotations

import argparse
import itertools
import subprocess
import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from statistics import median

from bench.peers.channel import Worker
from bench.peers.environment import PeerAbsent, peer_python
from bench.speed.shapes import SHAPES

OURS, PEER, FLOOR = "Unweave", "TransformerLens", "plain PyTorch"


@dataclass(frozen=True)
class Measure:
    """What is timed, and which of its ratios has an aim.

    Args:
        ask: the worker's method.
        aim: the largest ratio wanted, and the library that it is measured against.
        ours_only: only we can; the others are measured in fp32.
    """

    title: str
    ask: str
    aim: tuple[float, str] | None = None
    ours_only: bool = False

    def of(self, library: str) -> str:
        """What this library is asked."""
        return "step_fp32" if self.ours_only and library != OURS else self.ask


MEASURES = [
    Measure("training step, fp32", "step_fp32", (0.8, PEER)),
    Measure("training step, our products bf16", "step_bf16", (0.5, PEER), ours_only=True),
    Measure("forward, batch 4", "forward_small", (1.25, FLOOR)),
    Measure("forward, batch 256", "forward_large"),
    Measure("run_with_cache, batch 4", "cache", (1.6, FLOOR)),
    Measure("run_with_cache, one site a layer", "cache_filtered"),
]
IMPORTS = {OURS: "import unweave; unweave.HookedTransformer", PEER: "import transformer_lens"}
MODULES = {OURS: "our_worker", PEER: "tl_worker", FLOOR: "plain_worker"}
IMPORT_REPEATS = 5
IMPORT_AIM_MS = 200


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.speed", description=__doc__)
    parser.add_argument("--peer-python", help="the Python with transformer-lens (or UNWEAVE_TL_PYTHON)")
    parser.add_argument(
        "--shape", choices=list(SHAPES), action="append", help="only this one; may be repeated"
    )
    parser.add_argument("--threads", type=int, help="threads of each process (default: torch's own choice)")
    parser.add_argument("--quick", action="store_true", help="one round: to see that it works")
    options = parser.parse_args()
    pythons = {OURS: Path(sys.executable), FLOOR: Path(sys.executable)}
    try:
        pythons[PEER] = peer_python(options.peer_python)
    except PeerAbsent as absent:
        print(f"Not measured: TransformerLens, since {absent}")
    measure_imports(pythons, 1 if options.quick else IMPORT_REPEATS)
    for name in options.shape or SHAPES:
        repeats = 1 if options.quick else SHAPES[name].repeats
        measure_shape(name, pythons, repeats, options.threads)
    return 0


def measure_imports(pythons: dict[str, Path], repeats: int) -> None:
    """Fresh processes in turn; the clock runs when torch has been imported."""
    present = [library for library in IMPORTS if library in pythons]
    taken = in_turn(present, repeats, lambda library: import_ms(pythons[library], IMPORTS[library]))
    print("== import, beyond torch")
    for library, times in taken.items():
        aim = aim_told(median(times), IMPORT_AIM_MS, " ms") if library == OURS else ""
        print(f"{library:<34} {median(times):9.1f} ms   {aim}".rstrip())


def import_ms(python: Path, statement: str) -> float:
    script = (
        "import warnings; warnings.simplefilter('ignore')\n"
        "import torch\nfrom time import perf_counter\nbegun = perf_counter()\n"
        f"{statement}\nprint('took', 1000 * (perf_counter() - begun))"
    )
    output = subprocess.run([python, "-c", script], capture_output=True, text=True, check=True).stdout
    return float(output.split()[-1])


def measure_shape(name: str, pythons: dict[str, Path], repeats: int, threads: int | None) -> None:
    """One table: a line a measure."""
    libraries = [library for library in (OURS, PEER, FLOOR) if library in pythons]
    print(f"== {name}, {repeats} round{'s' * (repeats > 1)}, milliseconds")
    print(f"{'':<34} {''.join(f'{library:>17}' for library in libraries)}")
    with ExitStack() as stack:
        workers = {
            library: stack.enter_context(
                Worker(pythons[library], f"bench.speed.{MODULES[library]}", threads=threads)
            )
            for library in libraries
        }
        for worker in workers.values():
            asked(worker, "build", name)
        for measure in MEASURES:
            show(measure, measured(measure, workers, repeats))


def measured(measure: Measure, workers: dict[str, Worker], repeats: int) -> dict[str, list[float]]:
    """Milliseconds of each library, round by round, after one round that does not count."""

    def once(library: str) -> float:
        return asked(workers[library], "time", measure.of(library))

    for library in workers:
        once(library)
    return in_turn(list(workers), repeats, once)


def in_turn(libraries: list[str], repeats: int, once: Callable[[str], float]) -> dict[str, list[float]]:
    """`repeats` rounds, each in another order."""
    orders = itertools.cycle(itertools.permutations(libraries))
    taken: dict[str, list[float]] = {library: [] for library in libraries}
    for order in itertools.islice(orders, repeats):
        for library in order:
            taken[library].append(once(library))
    return taken


def asked(worker: Worker, ask: str, name: str) -> float:
    reply = worker.ask(ask=ask, name=name)
    if "error" in reply:
        raise RuntimeError(f"{worker.module} could not {ask} {name}: {reply['error']}")
    return reply.get("ms", 0.0)


def show(measure: Measure, taken: dict[str, list[float]]) -> None:
    columns = "".join(f"{median(times):17.2f}" for times in taken.values())
    ratios = {
        library: median(ours / theirs for ours, theirs in zip(taken[OURS], times, strict=True))
        for library, times in taken.items()
        if library != OURS
    }
    told = ", ".join(f"{ratio:.2f}x {library}" for library, ratio in ratios.items())
    limit, against = measure.aim or (0.0, "")
    aim = aim_told(ratios[against], limit, f"x {against}") if against in ratios else ""
    print(f"{measure.title:<34} {columns}   {told}   {aim}".rstrip(), flush=True)


def aim_told(got: float, limit: float, unit: str) -> str:
    return f"aim {limit:g}{unit}: {'kept' if got <= limit else 'missed'}"


if __name__ == "__main__":
    sys.exit(main())
