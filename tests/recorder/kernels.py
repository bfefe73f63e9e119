"""A real Jupyter kernel, driven as a notebook drives it."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Any

from jupyter_client.blocking.client import BlockingKernelClient
from jupyter_client.manager import KernelManager

from tests.repository import ROOT

WAIT_S = 120


@dataclass
class Reply:
    """What a cell gave back, as a client sees it."""

    status: str = ""
    text: str = ""
    messages: list[dict[str, Any]] = field(default_factory=list)


class Kernel:
    """Runs cells in a process of its own.

    Args:
        folder: that it runs in; its journal lies there.
        python: the interpreter.
        environ: variables, beside those of this process.
    """

    def __init__(
        self, folder: Path, python: str = sys.executable, environ: Mapping[str, str] | None = None
    ) -> None:
        self.journal = folder / "journal.db"
        self._manager = KernelManager()
        # No kernelspec: the one that is installed may belong to another environment.
        self._manager.kernel_spec  # noqa: B018
        self._manager.kernel_spec.argv = [python, "-m", "ipykernel_launcher", "-f", "{connection_file}"]
        self._manager.start_kernel(
            cwd=str(folder),
            env={
                # Under that variable, ipykernel leaves alone what child processes print.
                **{name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"},
                "PYTHONPATH": str(ROOT / "src"),
                "UNWEAVE_JOURNAL": str(self.journal),
                "IPYTHONDIR": str(folder / "ipython"),
                "PYTHONWARNINGS": "ignore",
                **(environ or {}),
            },
            stderr=subprocess.DEVNULL,
        )
        self._client: BlockingKernelClient = self._manager.client()
        self._client.start_channels()
        self._client.wait_for_ready(timeout=WAIT_S)

    def run(self, code: str, **how: Any) -> Reply:
        """Run a cell to its end."""
        reply = Reply()

        def heard(message: dict[str, Any]) -> None:
            content = message["content"]
            if message["msg_type"] not in ("status", "execute_input"):
                reply.messages.append(message)
            reply.text += content.get("text", "") or str(content.get("data", {}).get("text/plain", ""))

        done = self._client.execute_interactive(
            code, output_hook=heard, timeout=WAIT_S, stop_on_error=False, allow_stdin=False, **how
        )
        reply.status = done["content"]["status"]
        return reply

    def begin(self, code: str) -> str:
        """Begin a cell, and don't wait for it; the id of its message."""
        return self._client.execute(code, stop_on_error=False, allow_stdin=False)

    def finish(self, message: str) -> str:
        """Wait for a cell that was begun; its status."""
        while True:
            reply = self._client.get_shell_msg(timeout=WAIT_S)
            if reply["parent_header"].get("msg_id") == message:
                return reply["content"]["status"]

    def interrupt(self) -> None:
        """Press Ctrl-C."""
        self._manager.interrupt_kernel()

    def restart(self) -> None:
        """Restart it, as the button does."""
        self._manager.restart_kernel(now=False)
        self._client.wait_for_ready(timeout=WAIT_S)

    def kill(self) -> None:
        """End it at once, as a crash would."""
        self._manager.provisioner.process.kill()  # type: ignore[union-attr]
        self._manager.provisioner.process.wait()  # type: ignore[union-attr]

    def close(self) -> None:
        """Shut it down."""
        self._client.stop_channels()
        self._manager.shutdown_kernel(now=not self._manager.is_alive())
        self._manager.cleanup_resources()

    def __enter__(self) -> Kernel:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()
