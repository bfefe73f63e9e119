"""What recording costs: a cell's overhead in a real kernel, and the listing of a journal of 10,000 steps.

python bench/recorder_speed.py            # both; the journal gets 2 GB of outputs, in a temporary folder
python bench/recorder_speed.py --outputs-mb 200
"""

from __future__ import annotations

import argparse
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path

from jupyter_client.manager import KernelManager

from unweave.journal import Journal
from unweave.journal.session_log import SessionLog
from unweave.journal.sessions import session, sessions, this_process

SOURCE = Path(__file__).resolve().parents[1] / "src"
CELLS = {
    "empty": "pass",
    "one print": "print(1)",
    "a result": "1 + 1",
    "100 prints": "for i in range(100): print(i)",
}
BLOCKS, PER_BLOCK = 8, 12


def overhead() -> None:
    """Round trips of cells, in blocks that are recorded and blocks that are not, in turn."""
    with tempfile.TemporaryDirectory() as folder:
        manager = KernelManager()
        environ = {**os.environ, "UNWEAVE_JOURNAL": f"{folder}/journal.db", "PYTHONPATH": str(SOURCE)}
        manager.start_kernel(env=environ, cwd=str(SOURCE.parent))
        client = manager.client()
        client.start_channels()
        client.wait_for_ready(timeout=120)

        def run(code: str) -> float:
            begun = time.perf_counter()
            client.execute_interactive(code, timeout=120, output_hook=lambda message: None)
            return 1000 * (time.perf_counter() - begun)

        # The packages that a session of this kind has loaded, and whose state each step notes.
        run("import numpy, torch")
        run("%load_ext unweave")
        run("%record start bench")
        print(f"{'cell':12} {'plain':>8} {'recorded':>9} {'overhead':>9}   ms at the median")
        worst = 0.0
        for name, code in CELLS.items():
            times: dict[bool, list[float]] = {True: [], False: []}
            for block in range(2 * BLOCKS):
                recorded = block % 2 == 0
                run("%record resume" if recorded else "%record pause")
                run(code)
                times[recorded] += [run(code) for _ in range(PER_BLOCK)]
            plain, with_it = (statistics.median(times[which]) for which in (False, True))
            worst = max(worst, with_it - plain)
            print(f"{name:12} {plain:8.2f} {with_it:9.2f} {with_it - plain:9.2f}")
        print(f"wanted: under 5 ms; the largest is {worst:.2f} ms\n")
        client.stop_channels()
        manager.shutdown_kernel()


def listing(steps: int, outputs_mb: int) -> None:
    """A journal with many steps and much output: written step by step, then opened and listed."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "journal.db"
        size = outputs_mb * 2**20 // steps
        with Journal.open(path, create=True) as journal:
            log = SessionLog.begin(journal, title="large", sort="script", facts=this_process())
            taken = list[float]()
            for n in range(1, steps + 1):
                text = f"{n} ".ljust(size, "x")
                begun = time.perf_counter()
                step = log.step_started(n=n, code=f"run({n})", facts={"monotonic_ns": n})
                log.output(step.id, n=1, sort="display", data={"text/plain": text})
                log.step_ended(step.id, status="ok", facts={"monotonic_ns": n + 1})
                taken.append(1000 * (time.perf_counter() - begun))
        print(
            f"{steps} steps with {outputs_mb} MB: {statistics.median(taken):.2f} ms a step at the median, wanted under 10"
        )

        def opened() -> tuple[float, float]:
            begun = time.perf_counter()
            with Journal.open(path) as journal:
                assert sessions(journal)[0].step_count == steps
                listed = time.perf_counter()
                assert len(session(journal, "last").steps()) == steps
                return 1000 * (listed - begun), 1000 * (time.perf_counter() - listed)

        runs = [opened() for _ in range(7)]
        listed, read = (statistics.median(column) for column in zip(*runs, strict=True))
        print(
            f"opening and listing the sessions: {listed:.1f} ms; the {steps} steps of one: {read:.1f} ms; wanted under 200"
        )


def main() -> None:
    """Measure both."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--steps", type=int, default=10_000)
    parser.add_argument("--outputs-mb", type=int, default=2048)
    asked = parser.parse_args()
    overhead()
    listing(asked.steps, asked.outputs_mb)


if __name__ == "__main__":
    sys.exit(main())
