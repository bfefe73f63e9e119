"""The same analysis as a notebook that runs from top to bottom beside its run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unweave.experiments import notebook
from unweave.experiments.no_position.claims import CLAIMS

SETUP = """\
import json
from pathlib import Path

import unweave
from unweave.experiments.no_position import claims, pictures, tools
from unweave.experiments.no_position.study import Study

run = Path(".")  # the folder that `unweave run no-position` wrote
results = json.loads((run / "results.json").read_text())
model = unweave.load(run / "model")
one_layer = unweave.load(run / "one-layer" / "model")
study = Study(model, one_layer, seed=results["seed"], sequences=results["config"]["sequences"])
model.cfg"""

STEPS: tuple[notebook.Step, ...] = (
    (
        "## Training\n\nThe loss of every batch, spikes marked. Before you look: where will it first fall, and why there?",
        'pictures.loss_curve(results["loss"], results["one_layer_loss"], results["spikes"])',
    ),
    (
        "## One run, opened\n\n`run_with_cache` keeps every activation of a run under its hook name.",
        "logits, cache = model.run_with_cache(study.batch.tokens[:4])\n"
        "{name: tuple(cache[name].shape) for name in cache}",
    ),
    (
        "## Attention patterns\n\nWhat does each layer attend to, on average?",
        'patterns = tools.patterns(study)\npictures.attention_pattern(patterns, "layer 0")',
    ),
    ("", 'pictures.attention_pattern(patterns, "layer 1")'),
    (
        "## Layer 0: attention to BOS\n\nUniform attention but for BOS gives exactly 1/(1+ci), also before training.",
        "pictures.bos_attention(tools.bos_attention(study))",
    ),
    (
        "## MLP 0\n\nIts neurons by position, and the principal components of its output's positional means.",
        "mlp = tools.mlp_0(study)\npictures.mlp_0_activations(mlp)",
    ),
    ("", "pictures.mlp_0_components(mlp)"),
    (
        "## Layer 1\n\nAttention by offset, then the scores without the mask. Matching would be a diagonal, recency columns.",
        "layer = tools.layer_1(study)\npictures.attention_by_offset(layer)",
    ),
    ("", "pictures.row_centred_scores(layer)"),
    (
        "## The logits, by component\n\nSigned, direct effects; the rows sum to the logits.",
        'attribution = tools.attribution(study)\npictures.logit_attribution(attribution, "previous - current")',
    ),
    (
        "## Mean ablation of every hook\n\nReplaced by the mean over a separate batch, per position, one at a time.",
        'ablation = tools.ablation(study, results["config"]["ablation_sequences"])\npictures.mean_ablation(ablation)',
    ),
)


def write_notebook(path: Path, results: Mapping[str, Any]) -> Path:
    """Write the notebook of a run; it reads the model and results beside it."""
    title = (
        "# No position\n\nA transformer without positional embeddings learns to predict the previous token. How?\n\n"
        f"Preset `{results['preset']}`, seed {results['seed']}. Made by `unweave run no-position`; run it from the folder "
        "that it lies in."
    )
    return notebook.write(path, title, SETUP, STEPS, CLAIMS)
