"""The experiment from training to report."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from unweave.core.errors import InputError
from unweave.core.events import emit
from unweave.core.files import write_json_atomic
from unweave.experiments.clock import Clock
from unweave.experiments.folder import made_by, own_folder
from unweave.experiments.no_position import tools
from unweave.experiments.no_position.claims import CLAIMS
from unweave.experiments.no_position.notebook import write_notebook
from unweave.experiments.no_position.presets import TASK, Preset, find_preset, model_config
from unweave.experiments.no_position.report import write_report
from unweave.experiments.no_position.study import Study, require_shape
from unweave.experiments.registry import ExperimentRun
from unweave.experiments.telling import told
from unweave.model.saved import load
from unweave.model.transformer import HookedTransformer
from unweave.tasks import PreviousToken
from unweave.training import Run, train
from unweave.training.spikes import find_spikes

SCHEMA = {"name": "unweave.no-position", "version": 1}
CONTROL = "one-layer"


class NoPosition:
    """Two layers, no positions, previous token."""

    def run(
        self, preset: str, seed: int, out: Path, progress: bool = False, seeds: int | None = None
    ) -> ExperimentRun:
        """Train the model and its one-layer control, open it up, test the claims, write the page.

        Raises:
            InputError: for an unknown preset, an `out` that is a file or holds another run, or more than one seed.
        """
        if seeds not in (None, 1):
            raise InputError(
                wanted="one seed: no-position is judged on a single training",
                got=f"seeds={seeds}",
                remedy="run it once a seed, with --seed and an --out of its own",
            )
        chosen = find_preset(preset)
        own_folder(out, "no-position", chosen.name, seed)
        clock = Clock()
        with clock("training"):
            trained = _train(chosen, seed, 2, out, progress)
        with clock("training the one-layer control"):
            one_layer = _train(chosen, seed, 1, out / CONTROL, progress)
        study = Study(trained.model, one_layer.model, seed, chosen.sequences)
        with clock("analysis"):
            results = analyse(study, chosen, trained, one_layer, progress)
        results["times"] = clock.seconds
        write_json_atomic(out / "results.json", results)
        write_notebook(out / "notebook.ipynb", results)
        emit("experiment", lambda: told(results))
        return ExperimentRun(results, write_report(out / "report.html", results))

    def test_claims(
        self, model_dir: Path, control_dir: Path | None = None, progress: bool = False
    ) -> list[dict[str, Any]]:
        """Test the claims on a saved model of the same shape.

        The one-layer control is `control_dir`, or the one that a run left beside the model, or is
        trained here (quick preset, about a minute).
        """
        model = load(model_dir)
        require_shape(model, "model", 2)
        beside = model_dir.parent / CONTROL / "model"
        folder = control_dir or (beside if beside.exists() else None)
        if folder is not None:
            one_layer = load(folder)
        else:
            one_layer = _train_control(model, progress)
        return _test(Study(model, one_layer, sequences=find_preset("quick").sequences), progress)


EXPERIMENT = NoPosition()


def analyse(
    study: Study, chosen: Preset, trained: Run, one_layer: Run, progress: bool = False
) -> dict[str, Any]:
    """Everything that the page says, as JSON values."""
    losses = [record.loss for record in trained.history]
    ablation = tools.ablation(study, chosen.ablation_sequences, progress)
    return {
        "schema": SCHEMA,
        **made_by("no-position", chosen.name, study.seed),
        "config": {
            "model": study.model.cfg.to_dict(),
            "training": chosen.train_config(study.seed).to_dict(),
            "sequences": chosen.sequences,
            "ablation_sequences": chosen.ablation_sequences,
        },
        "chance_loss": TASK.chance_loss,
        "orderless_loss": TASK.orderless_loss,
        "eval_loss": ablation["baseline"],
        "train_loss_at_step": {
            str(s): losses[s] for s in sorted({*range(0, len(losses), 100), len(losses) - 1})
        },
        "mean_ablation": ablation,
        "claims": _test(study, progress),
        "spikes": [{"step": s.step, "loss": s.loss} for s in find_spikes(losses)],
        "loss": losses,
        "one_layer_loss": [record.loss for record in one_layer.history],
        "patterns": tools.patterns(study),
        "bos_attention": tools.bos_attention(study),
        "mlp_0": tools.mlp_0(study),
        "layer_1": tools.layer_1(study),
        "attribution": tools.attribution(study),
    }


def _test(study: Study, progress: bool) -> list[dict[str, Any]]:
    claims = tqdm(CLAIMS, desc="testing claims", unit="claim", disable=not progress)
    return [claim.tested(study) for claim in claims]


def _train(chosen: Preset, seed: int, n_layers: int, out: Path | None, progress: bool) -> Run:
    model = HookedTransformer(model_config(n_layers, seed))
    label = f"training {n_layers} layer{'s' if n_layers > 1 else ''}"
    return train(model, TASK, chosen.train_config(seed), out, progress=progress, label=label)


def _train_control(model: HookedTransformer, progress: bool) -> HookedTransformer:
    """A one-layer model of the sizes of `model`, trained by the quick preset."""
    cfg = replace(model.cfg, n_layers=1, positional_embedding_type="none", seed=0)
    control = HookedTransformer(cfg)
    task = PreviousToken(d_vocab=model.cfg.d_vocab, n_ctx=model.cfg.n_ctx)
    label = "training the one-layer control"
    return train(control, task, find_preset("quick").train_config(0), progress=progress, label=label).model
