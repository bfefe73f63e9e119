"""The same analysis as a notebook that runs from top to bottom beside its run."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unweave.core.files import write_json_atomic
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

STEPS: tuple[tuple[str, str], ...] = (
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

SHOW = """\
def show(tested):
    print(tested["verdict"].upper(), "-", tested["reason"])
    for row in tested["measured"] + tested["control"]:
        print(f"  {row['name']}: {row['value']} {row['interval'] or ''} {row['unit']}")"""


def write_notebook(path: Path, results: Mapping[str, Any]) -> Path:
    """Write the notebook of a run; it reads the model and results beside it."""
    cells = [
        _markdown(
            "# No position\n\nA transformer without positional embeddings learns to predict the previous token. How?\n\n"
            f"Preset `{results['preset']}`, seed {results['seed']}. Made by `unweave run no-position`; run it from the folder "
            "that it lies in."
        ),
        _code(SETUP),
    ]
    for text, code in STEPS:
        cells += ([_markdown(text)] if text else []) + [_code(code)]
    cells += [_markdown("## The claims\n\nEach is told before it is measured."), _code(SHOW)]
    for number, claim in enumerate(CLAIMS):
        rivals = "\n".join(f"- {rival}" for rival in claim.rivals)
        cells.append(
            _markdown(
                f"### {claim.title}\n\n{claim.statement}\n\n**Rivals**\n\n{rivals}\n\n**Predicted**: {claim.prediction}\n\n"
                f"**Threshold**: {claim.threshold}\n\n**Control**: {claim.control}"
                + (f"\n\n**Amended**: {claim.amended}" if claim.amended else "")
            )
        )
        cells.append(_code(f"show(claims.CLAIMS[{number}].tested(study))"))
    for number, cell in enumerate(cells):
        cell["id"] = f"cell-{number:02d}"
    write_json_atomic(path, {"cells": cells, "metadata": _METADATA, "nbformat": 4, "nbformat_minor": 5})
    return path


_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python"},
}


def _markdown(text: str) -> dict[str, Any]:
    return {"cell_type": "markdown", "metadata": {}, "source": text}


def _code(text: str) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": text, "outputs": [], "execution_count": None}
