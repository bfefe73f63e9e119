"""A grid on a real Ray cluster: two nodes on loopback, of which one is killed midway.

The nodes share this machine's files, so that the test says by itself that none is used: what a task writes lies
under the node's own temporary folder until it is posted.
"""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.repository import ROOT
from tests.training.grids.small import values
from unweave.training import Grid, GridResults, RunConfig, train
from unweave.training.grids.cluster import Letter, Mailbox
from unweave.training.grids.job import Reported
from unweave.training.grids.parcel import packed, to_go_on, unpack

needs_ray = pytest.mark.skipif(
    importlib.util.find_spec("ray") is None,
    reason="ray is not installed (pip install 'unweave[cluster]'): grids on a cluster were NOT tested",
)

DRIVER = """
import json, os, signal, sys, time
from pathlib import Path
import ray
from ray.cluster_utils import Cluster
from unweave.training import Grid, run_grid

asked, out, seen = json.loads(Path(sys.argv[1]).read_text()), Path(sys.argv[2]), {}


def main():
    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False})
    second = cluster.add_node(num_cpus=1)
    killed = []

    def watch(board):
        seen["told"] = board.told
        begun = [s for s in board.standings.values() if s.state == "running" and s.step > 25]
        # Both nodes are at work on a run of which checkpoints were posted: one is killed, with all its processes.
        if len(begun) == 2 and not killed:
            killed.extend(s.member.name for s in begun)
            for info in second.all_processes.values():
                for process in info:
                    process.process.kill()

    try:
        run_grid(Grid.from_dict(asked), out, engine="ray", address=cluster.address, watch=watch)
    finally:
        ray.shutdown()
        cluster.shutdown()
    Path(sys.argv[3]).write_text(json.dumps({"killed": killed, **seen}))


main()
"""


@needs_ray
@pytest.mark.slow
def test_two_nodes_one_killed_midway_and_every_result_is_there_once(tmp_path: Path):
    asked = {**values(steps=400, checkpoint_every=20), "axes": {"training.lr": [0.01, 0.02, 0.03]}}
    (tmp_path / "grid.json").write_text(json.dumps(asked))
    grid, out, told = Grid.from_dict(asked), tmp_path / "grid", tmp_path / "told.json"
    subprocess.run(
        [sys.executable, "-c", DRIVER, tmp_path / "grid.json", out, told],
        env={**os.environ, "PYTHONPATH": f"{ROOT / 'src'}:{ROOT}", "RAY_USAGE_STATS_ENABLED": "0"},
        check=True,
        timeout=900,
    )
    said = json.loads(told.read_text())
    assert said["told"] == "Ray: 2 nodes, 2 runs of 1 thread at once"
    assert len(said["killed"]) == 2
    results = GridResults.load(out)
    assert [(row["run"], row["state"]) for row in results.rows] == [
        (m.name, "finished") for m in grid.members
    ]
    # One of the two was lost with its node, and begun again; nothing else was.
    [error] = [json.loads(line) for line in (out / "errors.jsonl").read_text().splitlines()]
    assert error["run"] in said["killed"] and error["error"]
    assert sorted(row["attempts"] for row in results.rows) == [1, 1, 1, 1, 1, 2]
    assert sorted(path.name for path in (out / "runs").iterdir()) == sorted(m.name for m in grid.members)
    # Each, the lost one among them, is to the bit what one process does; and every checkpoint has come.
    for member in grid.members:
        run, solo = RunConfig.from_dict(member.config.to_dict()), tmp_path / "solo" / member.name
        train(run.build(), run.task, run.training, solo)
        names = {path.relative_to(solo) for path in solo.rglob("*") if path.is_file()}
        assert names <= {
            path.relative_to(out / "runs" / member.name) for path in (out / "runs" / member.name).rglob("*")
        }
        for name in ("history.jsonl", "held_out.jsonl", "model/model.safetensors"):
            assert (out / "runs" / member.name / name).read_bytes() == (solo / name).read_bytes()


def test_a_parcel_leaves_at_every_moment_a_run_that_can_be_gone_on_with(tmp_path: Path):
    run = RunConfig.from_dict(values(checkpoint_every=2)["base"])
    whole = train(run.build(), run.task, run.training, tmp_path / "whole").history
    unpack(packed(tmp_path / "whole", without={"step-00000002"}), tmp_path / "there")
    names = sorted(path.name for path in (tmp_path / "there" / "checkpoints").iterdir())
    assert names == ["step-00000004", "step-00000006"]
    # As if the machine was lost after the fourth step: the other goes on from there, and does the same.
    parcel = {
        name: held for name, held in to_go_on(tmp_path / "whole").items() if "step-00000006" not in name
    }
    parcel |= {
        name: held
        for name, held in packed(tmp_path / "whole").items()
        if name.startswith("checkpoints/step-00000004")
    }
    unpack(parcel, tmp_path / "other")
    assert not (tmp_path / "other" / "model").exists()
    resumed = train(run.build(), run.task, run.training, tmp_path / "other", resume=True)
    assert resumed.history == whole
    assert (tmp_path / "other" / "model" / "model.safetensors").read_bytes() == (
        tmp_path / "whole" / "model" / "model.safetensors"
    ).read_bytes()


def test_a_mailbox_gives_each_letter_once_and_says_when_to_stop():
    mailbox, letter = Mailbox(), Letter(Reported("a", 1, 3, 0.5))
    assert mailbox.put(letter) is False
    assert (mailbox.take(), mailbox.take()) == ([letter], [])
    mailbox.stop()
    assert mailbox.put(letter) is True
