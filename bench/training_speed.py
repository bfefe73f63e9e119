"""Ensembles beside the same runs one by one: eight small models on two cores, 64 on a GPU if there is one.

A training step beside TransformerLens 3.9.0's loop is measured by model_speed.py (`--only step_fp32 --only
step_bf16`). Solo runs are timed in two ways: one after the other in a process that has every core, and in as
many processes as there are cores, one thread each. The ways take turns; ratios are medians over the rounds.
"""

from __future__ import annotations

import argparse
import itertools
import os
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from pathlib import Path
from statistics import median
from time import perf_counter

# Run as a script, its own folder is on the path and the repository's root is not.
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from bench.ensembles.cases import CELLS, MEMBERS
from bench.peers.channel import Worker

WORKER = "bench.ensembles.worker"
CORES = 2


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=7, help="how often each way is timed")
    parser.add_argument("--steps", type=int, default=60, help="of each run")
    parser.add_argument("--quick", action="store_true", help="one round of few steps: to see that it works")
    options = parser.parse_args()
    rounds, steps = (1, 5) if options.quick else (options.rounds, options.steps)
    load = os.getloadavg()[0] if hasattr(os, "getloadavg") else float("nan")
    print(f"load before the first round: {load:.1f}")
    measure_cpu(rounds, steps)
    measure_gpu(rounds, steps)
    return 0


def measure_cpu(rounds: int, steps: int) -> None:
    print(f"== {MEMBERS} models, {rounds} rounds of {steps} steps; milliseconds a step of all of them")
    with ExitStack() as stack:
        whole = stack.enter_context(Worker(sys.executable, WORKER, threads=CORES))
        halves = [stack.enter_context(Worker(sys.executable, WORKER, threads=1)) for _ in range(CORES)]
        pool = stack.enter_context(ThreadPoolExecutor(CORES))

        def together(cell: dict[str, int]) -> float:
            return asked(whole, ask="together", **cell)

        def one_by_one(cell: dict[str, int]) -> float:
            return asked(whole, ask="alone", **cell)

        def two_by_two(cell: dict[str, int]) -> float:
            begun = perf_counter()
            list(pool.map(lambda half: asked(half, ask="alone", share=CORES, **cell), halves))
            return 1000 * (perf_counter() - begun) / steps

        ways = {"together": together, "one by one": one_by_one, "two processes": two_by_two}
        print(f"{'':<22}{''.join(f'{name:>16}' for name in ways)}")
        for d_model, batch_size in CELLS:
            cell = {"d_model": d_model, "batch_size": batch_size, "steps": steps}
            taken: dict[str, list[float]] = {name: [] for name in ways}
            for way in ways.values():
                way({**cell, "steps": 2})
            orders = itertools.cycle(itertools.permutations(ways))
            for order in itertools.islice(orders, rounds):
                for name in order:
                    taken[name].append(ways[name](cell))
            show(f"d_model {d_model}, batch {batch_size}", taken, 1.0)


def measure_gpu(rounds: int, steps: int) -> None:
    import torch

    if not torch.cuda.is_available():
        print("Not measured: 64 no-position models on a GPU, since there is none")
        return
    from bench.ensembles.on_gpu import AIM, MEMBERS, measure

    print(
        f"== {MEMBERS} no-position models on {torch.cuda.get_device_name()}, {rounds} rounds of {steps} steps"
    )
    taken = measure("cuda", rounds, steps)
    print(f"{'':<22}{''.join(f'{name:>16}' for name in taken)}")
    show("batch 256 x 50", taken, AIM)


def asked(worker: Worker, **question: object) -> float:
    reply = worker.ask(**question)
    if "error" in reply:
        raise RuntimeError(f"{question}: {reply['error']}")
    return reply["ms"]


def show(title: str, taken: dict[str, list[float]], aim: float) -> None:
    """Medians, and how many times as fast the ensemble is: its range over the rounds; the aim is for the first way."""
    columns = "".join(f"{median(times):16.2f}" for times in taken.values())
    ours, told, kept = taken["together"], [], ""
    for name, times in taken.items():
        if name == "together":
            continue
        ratios = [theirs / own for theirs, own in zip(times, ours, strict=True)]
        told.append(f"{median(ratios):.2f}x {name} ({min(ratios):.2f} to {max(ratios):.2f})")
        kept = kept or f"aim {aim:g}x: {'kept' if median(ratios) >= aim else 'missed'}"
    print(f"{title:<22}{columns}   {', '.join(told)}   {kept}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
