"""Questions to a process in the peer's environment, and its answers: one line of JSON each."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Any, Self

ROOT = Path(__file__).resolve().parents[2]


class Worker:
    """A module of ours that runs under another Python, and ends with the block."""

    def __init__(self, python: Path | str, module: str, *, threads: int | None = None) -> None:
        # This checkout's own code, wherever the environment's unweave was installed from.
        paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
        environment = {**os.environ, "PYTHONWARNINGS": "ignore", "PYTHONPATH": paths}
        if threads is not None:
            environment["OMP_NUM_THREADS"] = str(threads)
        self.module = module
        self.process = subprocess.Popen(
            [str(python), "-m", module],
            cwd=ROOT,
            env=environment,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def ask(self, **question: Any) -> dict[str, Any]:
        """The answer; {"error": ...} if the question raised there."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(json.dumps(question) + "\n")
        self.process.stdin.flush()
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"{self.module} ended with exit code {self.process.wait()}")
        return json.loads(line)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        assert self.process.stdin is not None
        self.process.stdin.close()
        try:
            self.process.wait(timeout=20)
        except subprocess.TimeoutExpired:
            self.process.kill()


def serve(answer: Callable[..., dict[str, Any]]) -> None:
    """Answer each line that arrives, until there are no more."""
    # What libraries print must not end up between the answers.
    channel = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)
    for line in sys.stdin:
        try:
            reply = answer(**json.loads(line))
        except Exception as error:
            reply = {"error": " ".join(f"{type(error).__name__}: {error}".split())[:300]}
        channel.write(json.dumps(reply) + "\n")
        channel.flush()
