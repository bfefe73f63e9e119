"""SAELens, of which the current release asks for transformer-lens below 4, on the door.

In an environment of its own: the one that UNWEAVE_SAELENS_PYTHON names, or one that is made here.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.repository import ROOT

VARIABLE = "UNWEAVE_SAELENS_PYTHON"
SCRIPT = ROOT / "bench/peers/make_saelens_environment.sh"

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def python(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The Python of an environment with SAELens and without TransformerLens."""
    if os.environ.get(VARIABLE):
        return Path(os.environ[VARIABLE])
    folder = tmp_path_factory.mktemp("saelens") / "environment"
    made = subprocess.run(["sh", str(SCRIPT), str(folder)], capture_output=True, text=True, check=False)
    if made.returncode:
        why = made.stderr.strip().splitlines()[-1:] or ["no word"]
        pytest.skip(
            f"SAELens was NOT tried: {VARIABLE} names no environment, and {SCRIPT.name} could not make one ({why[0]})"
        )
    return folder / "bin/python"


@pytest.fixture(scope="module")
def found(python: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What the worker found."""
    paths = os.pathsep.join([str(ROOT), str(ROOT / "src")])
    ran = subprocess.run(
        [str(python), "-m", "tests.compat.saelens_worker", str(tmp_path_factory.mktemp("sae"))],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": paths, "HF_HUB_OFFLINE": "1", "WANDB_MODE": "disabled"},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ran.returncode == 0, ran.stderr[-3000:]
    return json.loads(ran.stdout.splitlines()[-1])


def test_there_is_no_transformer_lens_in_the_environment(python: Path, found: dict[str, Any]):
    asked = subprocess.run([str(python), "-c", "import transformer_lens"], capture_output=True, check=False)
    assert asked.returncode == 1
    assert found["transformer_lens"].startswith("unweave.compat.transformer_lens")


def test_an_autoencoder_learns_what_the_model_computes(found: dict[str, Any]):
    assert found["explained"] > 0.8 > 0 > found["explained untrained"]
    assert found["l0"] < 40  # of 48 features
    assert found["saved"] == ["cfg.json", "sae_weights.safetensors"]


def test_in_the_place_of_a_hook_point_it_does_what_a_hook_would(found: dict[str, Any]):
    assert found["spliced as by hand"] < 1e-5 < 0.01 < found["changed"]
    assert found["with its error term"] < 1e-5
    assert found["in a block"] == 0 and found["afterwards"] == 0
    assert found["cached features"] < 1e-5


def test_its_hooks_are_the_models_while_it_is_there(found: dict[str, Any]):
    hook = "blocks.0.hook_resid_post"
    sites = ("acts_post", "acts_pre", "error", "input", "output", "recons")
    assert found["hooks"] == [f"{hook}.hook_sae_{site}" for site in sites]
    assert found["hooks afterwards"] == [hook]


def test_a_feature_is_switched_off_by_a_hook(found: dict[str, Any]):
    assert found["switched off as by hand"] < 1e-5 < 0.001 < found["and that matters"]
    assert found["sae's own output"] == 0 and len(found["sae's own hooks"]) == 5
