"""A disk that fills up and one that can't be written: real ones, mounted in a namespace of their own (Linux)."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import ROOT

# `unshare` lets anyone be root over mounts that only this process sees, where the system allows it.
MOUNTED = """
set -e
mount -t tmpfs -o size="$4" none "$1"
exec "$2" -c "$3" "$1"
"""

BEGIN = """
import json, shutil, subprocess, sys
from pathlib import Path
from tests.training.small import TASK, new_model, same_bits, short
from unweave.model.saved import load
from unweave.training import train
from unweave.training.checkpoints import Checkpoint, list_checkpoints

disk = Path(sys.argv[1])
out, said = disk / "run", []

def attempt(**fields):
    try:
        return train(new_model(), TASK, short(**fields), out=out, resume=True)
    except Exception as error:
        said.append(f"{type(error).__name__}: {error}")

def steps():
    return [Checkpoint.opened(path).step for path in list_checkpoints(out / "checkpoints")]
"""

FULL_AT_A_CHECKPOINT = """
attempt(steps=60, checkpoint_every=1)
written = steps()
hidden = [path.name for path in (out / "checkpoints").iterdir() if path.name.startswith(".")]
# Room is made: it goes on from the last one.
for path in list_checkpoints(out / "checkpoints")[:-1]:
    shutil.rmtree(path)
resumed = attempt(steps=60, checkpoint_every=30)
alone = train(new_model(), TASK, short(steps=60))
print(json.dumps([said, written, hidden, same_bits(resumed.model, alone.model)]))
"""

FULL_AT_A_LINE = """
class Filling:
    def __call__(self, step):
        if step == 3 and not said:
            with (disk / "junk").open("wb", buffering=0) as junk:
                try:
                    while True:
                        junk.write(bytes(512))
                except OSError:
                    pass
        return 1.0

before = {"schedule": Filling(), "checkpoint_every": None, "checkpoint_at": (2,)}
# Pages are 4096 bytes: the line that needs a new one fails.
attempt(steps=400, **before)
(disk / "junk").unlink()
written = steps()
resumed = attempt(steps=40, **before)
alone = train(new_model(), TASK, short(steps=40, schedule=Filling()))
print(json.dumps([said, written, [], same_bits(resumed.model, alone.model)]))
"""

READ_ONLY = """
attempt(steps=4, checkpoint_every=2)
subprocess.run(["mount", "-o", "remount,ro", str(disk)], check=True)
attempt(steps=9, checkpoint_every=2)
written = steps()
subprocess.run(["mount", "-o", "remount,rw", str(disk)], check=True)
resumed = attempt(steps=9, checkpoint_every=2)
alone = train(new_model(), TASK, short(steps=9))
print(json.dumps([said, written, [], same_bits(resumed.model, alone.model)]))
"""


def on_a_disk(folder: Path, script: str, size: str = "600k") -> tuple[list[str], list[int], list[str], bool]:
    unshare = ["unshare", "--user", "--map-root-user", "--mount"]
    try:
        allowed = subprocess.run(
            [*unshare, "mount", "-t", "tmpfs", "none", folder], capture_output=True, check=False
        ).returncode
    except OSError:
        allowed = 1
    if allowed:
        pytest.skip("mounts in a namespace of one's own are not allowed here")
    done = subprocess.run(
        [*unshare, "sh", "-c", MOUNTED, "sh", folder, sys.executable, BEGIN + script, size],
        cwd=ROOT,
        env={
            "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}",
            "OMP_NUM_THREADS": "1",
            "PATH": "/usr/sbin:/usr/bin:/sbin:/bin",
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    return tuple(json.loads(done.stdout))


def test_a_disk_that_is_full_at_a_checkpoint(tmp_path: Path):
    said, written, hidden, same = on_a_disk(tmp_path, FULL_AT_A_CHECKPOINT)
    assert len(said) == 1
    assert (
        said[0].startswith("OSError: ") and "could not be written" in said[0] and "No space left" in said[0]
    )
    # Those before it are whole, nothing half-written is left, and the run goes on to the bit.
    assert written == list(range(1, len(written) + 1)) and 2 <= len(written) < 20
    assert not hidden and same


@pytest.mark.slow
def test_a_disk_that_is_full_at_a_line_of_the_history(tmp_path: Path):
    said, written, _, same = on_a_disk(tmp_path, FULL_AT_A_LINE)
    assert len(said) == 1
    assert said[0].startswith("OSError: ") and "No space left on device: a line could not be added" in said[0]
    assert ".jsonl" in said[0]
    assert written == [2] and same


def test_a_folder_that_is_read_only(tmp_path: Path):
    said, written, _, same = on_a_disk(tmp_path, READ_ONLY, size="4m")
    assert len(said) == 1
    assert said[0].startswith("OSError: ") and "Read-only file system" in said[0] and "/run/" in said[0]
    assert written == [2, 4] and same
