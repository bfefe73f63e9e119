"""How long importing takes: the least of several fresh processes, in milliseconds.

Run by `make bench`; exits with 1 if a time is over its limit.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass

REPEATS = 7


@dataclass(frozen=True)
class Measurement:
    """`timed` is what the clock runs for, after `before` has run in the same process."""

    name: str
    timed: str
    before: str = "pass"
    limit_ms: float | None = None

    def milliseconds(self) -> float:
        script = (
            f"from time import perf_counter\n{self.before}\nbegun = perf_counter()\n{self.timed}\n"
            "print(1000 * (perf_counter() - begun))"
        )
        command = [sys.executable, "-c", script]
        return min(
            float(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
            for _ in range(REPEATS)
        )


MEASUREMENTS = [
    Measurement("import unweave", "import unweave", limit_ms=50),
    Measurement("import torch", "import torch"),
    Measurement(
        "unweave.HookedTransformer, beyond torch",
        "import unweave; unweave.HookedTransformer",
        before="import torch",
        limit_ms=200,
    ),
    Measurement("the command line, before any command", "import unweave.cli.main"),
]


def main() -> int:
    over = False
    for measurement in MEASUREMENTS:
        taken = measurement.milliseconds()
        limit = measurement.limit_ms
        over |= limit is not None and taken > limit
        verdict = "" if limit is None else f"limit {limit:.0f} ms: {'over' if taken > limit else 'kept'}"
        print(f"{measurement.name:<42} {taken:8.1f} ms   {verdict}".rstrip())
    return int(over)


if __name__ == "__main__":
    sys.exit(main())
