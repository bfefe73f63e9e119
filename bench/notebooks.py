"""Published notebooks and scripts for TransformerLens, run unmodified through the door.

    python bench/notebooks.py --clones FOLDER [--only TEXT] [--seconds 300]

FOLDER holds clones (or bare mirrors) named OWNER+NAME, of the repositories in notebooks.json. Each file is taken out
of its commit into a scratch folder, with what stands beside it, and run there in a process of its own: the cells of a
notebook, or a script as a whole, after `unweave.compat.install()`. Nothing of theirs is changed or kept. What a
file imports beside TransformerLens must be installed. Without a GPU torch.load puts on the CPU what was saved on one.

An entry has `repo`, `commit` and `path`, and may have `with` (the folder that is taken out, if not the file's own;
"" is all), `at` (the folder it is run in, likewise), `args` (a script's), and `first`: scripts of the same
repository, with their arguments, that are run before it, through the door as well.
"""

from __future__ import annotations

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
RUNNER = """
import json, os, runpy, sys
import unweave.compat
unweave.compat.install()
path = os.path.abspath(sys.argv[1])
import functools, torch
if not torch.cuda.is_available():  # files that were saved on a GPU
    torch.load = functools.partial(torch.load, map_location="cpu")
sys.path[:0] = [os.path.dirname(path), ""]
if path.endswith(".py"):
    sys.argv = [path, *sys.argv[2:]]
    runpy.run_path(path, run_name="__main__")
else:
    from IPython.core.interactiveshell import InteractiveShell
    class Shell(InteractiveShell):
        def enable_gui(self, gui=None):  # %matplotlib inline: there is no screen
            pass
    shell = Shell.instance(colors="NoColor")
    cells = [c for c in json.load(open(path))["cells"] if c["cell_type"] == "code"]
    for number, cell in enumerate(cells, 1):
        source = cell["source"]
        source = source if isinstance(source, str) else "".join(source)
        result = shell.run_cell(source, store_history=True)
        if not result.success:
            sys.exit(f"cell {number} of {len(cells)}: {result.error_before_exec or result.error_in_exec!r}")
    print("cells:", len(cells))
import transformer_lens
assert transformer_lens.__name__.startswith("unweave"), "another package was run"
"""


def take_out(mirror: Path, commit: str, folder: str, to: Path) -> None:
    """A folder of a commit, as it is there; large files that a partial clone lacks are left out."""
    git = ["git", "-C", str(mirror)]
    only = [folder] if folder.strip("./") else []
    listed = subprocess.run([*git, "ls-tree", "-r", "-z", commit, *only], capture_output=True, check=True)
    for line in filter(None, listed.stdout.decode().split("\0")):
        facts, _, name = line.partition("\t")
        blob = subprocess.run([*git, "cat-file", "blob", facts.split()[2]], capture_output=True, check=False)
        if blob.returncode == 0:
            (to / name).parent.mkdir(parents=True, exist_ok=True)
            (to / name).write_bytes(blob.stdout)


def run(entry: dict[str, Any], clones: Path, seconds: int) -> str:
    """What became of one file: "ran", or the last line of its error."""
    owner_name = entry["repo"].replace("/", "+")
    mirror = next(
        (place for place in (clones / owner_name / "repo", clones / owner_name) if place.exists()), None
    )
    if mirror is None:
        return f"no clone of {entry['repo']}"
    path = Path(entry["path"])
    with tempfile.TemporaryDirectory() as scratch:
        take_out(mirror, entry["commit"], entry.get("with", f"{path.parent}/"), Path(scratch))
        outcome = "ran"
        for script, *args in [*entry.get("first", []), [entry["path"], *entry.get("args", [])]]:
            outcome = run_file(
                Path(scratch) / script, Path(scratch) / entry.get("at", path.parent), args, seconds
            )
            if outcome != "ran":
                return outcome if script == entry["path"] else f"{script}, before it: {outcome}"
        return outcome


def run_file(path: Path, where: Path, args: list[str], seconds: int) -> str:
    """Run one file through the door, in the folder `where`: "ran", or the last line of its error."""
    environment = {
        **os.environ,
        "MPLBACKEND": "Agg",
        "PLOTLY_RENDERER": "json",
        "WANDB_MODE": "disabled",
        "HF_HUB_OFFLINE": "1",
        "BROWSER": "true",
    }
    try:
        done = subprocess.run(
            [sys.executable, "-W", "ignore", "-c", RUNNER, str(path), *args],
            cwd=where,
            env=environment,
            capture_output=True,
            text=True,
            timeout=seconds,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return f"no end after {seconds} s"
    lines = [line for line in done.stderr.strip().splitlines() if line.strip()]
    return "ran" if done.returncode == 0 else (lines[-1] if lines else f"exit code {done.returncode}")[:300]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python bench/notebooks.py", description=__doc__)
    parser.add_argument("--clones", type=Path, help="the folder of clones")
    parser.add_argument("--only", default="", help="only files whose repository and path hold this text")
    parser.add_argument("--seconds", type=int, default=300, help="the longest that one may take")
    options = parser.parse_args()
    if options.clones is None:
        print("left out: needs clones of other people's repositories, see --help")
        return
    for entry in json.loads((HERE / "notebooks.json").read_text()):
        name = f"{entry['repo']} {entry['commit'][:9]} {entry['path']}"
        if options.only in name:
            begun = time.monotonic()
            outcome = run(entry, options.clones, options.seconds)
            print(f"{name}: {outcome} ({time.monotonic() - begun:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
