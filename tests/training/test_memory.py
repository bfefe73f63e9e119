"""What training frees stays with the process while it goes on, and goes back afterwards."""

from __future__ import annotations

import platform
import subprocess
import sys

import pytest

from tests.repository import ROOT
from unweave.training import memory
from unweave.training.memory import kept_memory

GLIBC = platform.libc_ver()[0] == "glibc"
BLOCKS = """
import torch
from pathlib import Path
from unweave.training.memory import kept_memory

def resident() -> int:
    return int(Path("/proc/self/statm").read_text().split()[1]) * 4096 // 2**20

def freed(size: int) -> int:
    before = resident()
    tensor = torch.ones(size, 2**20, dtype=torch.uint8)
    del tensor
    return resident() - before

print(freed(200))
with kept_memory():
    # Smaller, since anything may have taken a little of what the first one left.
    print(freed(200), freed(100))
print(freed(200))
"""


@pytest.mark.skipif(not GLIBC, reason="without glibc nothing is changed")
def test_a_freed_block_is_kept_within_and_only_there():
    """200 MB are taken and freed: outside they are gone at once, inside they are there for the second time."""
    run = subprocess.run([sys.executable, "-c", BLOCKS], cwd=ROOT, capture_output=True, text=True, check=True)
    before, first, second, after = (int(number) for number in run.stdout.split())
    assert before < 20
    assert first > 180
    assert second < 20
    assert after < 20


def test_an_exception_passes():
    with pytest.raises(KeyError), kept_memory():
        raise KeyError


def test_without_glibc_the_block_runs(monkeypatch: pytest.MonkeyPatch):
    def none(name: None) -> object:
        return object()

    monkeypatch.setattr(memory.ctypes, "CDLL", none)
    with kept_memory():
        pass
