"""The report: one page, made of results.json alone."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unweave.charts import Block, Cards, Page, Picture, Section, Table, Text, write_page
from unweave.experiments import claim_blocks
from unweave.experiments.no_position import pictures
from unweave.experiments.no_position.original import compare, original

Json = Mapping[str, Any]


def write_report(path: Path, results: Json) -> Path:
    """Write the page of a run and return its path."""
    return write_page(page(results), path)


def page(results: Json) -> Page:
    """The page, from top to bottom."""
    return Page(
        title="No position",
        subtitle="A transformer without positional embeddings learns to predict the previous token. How?",
        summary=_summary(results),
        sections=(
            claim_blocks.at_a_glance(results["claims"]),
            _training(results),
            _layer_0(results),
            _mlp_0(results),
            _layer_1(results),
            _logits(results),
            _ablation(results),
            claim_blocks.in_full(results["claims"]),
            _about(results),
        ),
        footer=claim_blocks.footer(results),
    )


def _summary(results: Json) -> str:
    claims, counted = results["claims"], claim_blocks.counted(results["claims"])
    return (
        f"Held-out loss **{results['eval_loss']:.4f} nats** after {results['config']['training']['steps']} steps; a uniform "
        f"guess has {results['chance_loss']:.2f}, and the best guess that ignores the order of the tokens "
        f"{results['orderless_loss']:.2f}. Of {len(claims)} claims about how the model does it, {counted}.\n\n"
        "The claims were written knowing the figures of the original recorded run, so they are **replications, not blind "
        "predictions**; thresholds and controls were set before this run, and what was changed after seeing an earlier one "
        "is told at each claim. This page shows one seed."
    )


def _training(results: Json) -> Section:
    reference = original()["train_loss_at_step"]
    ours = results["train_loss_at_step"]
    spikes = results["spikes"]
    blocks: list[Block] = [
        Cards(
            (
                ("held-out loss", f"{results['eval_loss']:.4f}", "nats"),
                ("uniform guess", f"{results['chance_loss']:.3f}", "nats"),
                ("loss spikes", str(len(spikes)), "above twice the local median"),
            )
        ),
        Picture(
            pictures.loss_curve(results["loss"], results["one_layer_loss"], spikes),
            "Loss of each training batch before the update. A spike is a step whose loss is more than twice the median of the "
            "50 steps on either side.",
            "Training loss of the two-layer model and the one-layer control on a logarithmic axis, spikes marked",
        ),
    ]
    if results["preset"] != "quick":
        shared = [step for step in reference if step in ours]
        blocks.append(
            Table(
                ("step", "this run", "original"),
                [(step, float(ours[step]), float(reference[step])) for step in shared],
                "Training loss (nats) beside the original's, one seed each.",
                ("number", "number", "number"),
            )
        )
    return Section("Training", "training", blocks)


def _layer_0(results: Json) -> Section:
    counting = _claim(results, "layer-0-counts")
    return Section(
        "Layer 0: attention to BOS",
        "layer-0",
        (
            *(
                Picture(
                    pictures.attention_pattern(results["patterns"], layer),
                    "Mean over sequences; a row is a query and sums to one.",
                    f"Mean attention pattern of {layer}, query position against key position",
                )
                for layer in results["patterns"]
            ),
            Picture(
                pictures.bos_attention(results["bos_attention"]),
                "Attention that is uniform but for BOS has exactly the shape 1/(1+ci), trained or not: the fit shows nothing "
                "about learning. The constant c, and whether the model needs BOS, do.",
                "Layer 0's attention to BOS by query position, trained and untrained, with fitted curves",
            ),
            Picture(
                pictures.copied_offsets(
                    counting["details"]["copied_offsets"],
                    ["clean", "BOS: key masked", "BOS: value of the others", "BOS: random token"],
                ),
                "Offset of the nearest occurrence of the token that the model predicts, with BOS taken out of layer 0 in three "
                "ways.",
                "Share of predictions by offset of the predicted token, clean and without BOS",
            ),
        ),
    )


def _mlp_0(results: Json) -> Section:
    return Section(
        "MLP 0: a positional code",
        "mlp-0",
        (
            Picture(
                pictures.mlp_0_activations(results["mlp_0"]),
                "Each row is a neuron, sorted by the position at which it is most active; those that never fire are at the "
                "end.",
                "Mean activation of each of MLP 0's neurons at each position",
            ),
            Picture(
                pictures.mlp_0_components(results["mlp_0"]),
                "One point a position, BOS left out.",
                "First two principal components of MLP 0's mean output at each position",
            ),
            Picture(
                pictures.mlp_0_components_by_position(results["mlp_0"]),
                "An untrained model's means also vary with position, since BOS's share does.",
                "The first two principal components along positions, trained and untrained",
            ),
        ),
    )


def _layer_1(results: Json) -> Section:
    claim = _claim(results, "recency-finds-previous")
    copied = claim["details"]["copied_offsets"]
    return Section(
        "Layer 1: finding the previous token",
        "layer-1",
        (
            Picture(
                pictures.attention_by_offset(results["layer_1"]),
                "Mean over sequences and queries, with the 95% interval over sequences.",
                "Layer 1's mean attention by offset from the query",
            ),
            Picture(
                pictures.row_centred_scores(results["layer_1"]),
                "Mean scores of every query with every key, later ones too, each row minus its mean. A query that "
                "looks for the previous position would show as a diagonal; one that looks for the latest key as "
                "columns; a gain as columns that grow stronger or weaker from row to row.",
                "Row-centred scores of layer 1, query position against key position",
            ),
            _shifts(claim),
            Picture(
                pictures.copied_offsets(copied, list(copied)),
                "Attention is the measure; which token is then copied comes second.",
                "Share of predictions by offset, clean and with every query told that it is 8 positions earlier",
            ),
        ),
    )


def _shifts(claim: Json) -> Table:
    """How far each rival's prediction is from the attention measured under each shift."""
    measured = {row["name"]: row["value"] for row in claim["measured"]}
    rivals = ("matching", "recency", "gain")
    return Table(
        ("codes shifted", "where the rivals differ", "moved", *rivals),
        [
            (
                shift,
                differs,
                measured[f"attention moved, {shift}"],
                *(measured[f"misfit, {shift}: {rival}"] for rival in rivals),
            )
            for shift, differs in claim["details"]["where_rivals_differ"].items()
        ],
        "A query, or one key, is given the positional code of another position. **moved**: the share of attention "
        "that moves; then each rival's misfit: the share of attention that it puts on the wrong keys.",
        ("text", "text", "number", "number", "number", "number"),
    )


def _logits(results: Json) -> Section:
    rows = [
        (
            question,
            component,
            float(row["value"]),
            None if row["recomputed"] is None else float(row["recomputed"]),
        )
        for question, components in results["attribution"].items()
        for component, row in components.items()
    ]
    return Section(
        "The logits, by component",
        "logits",
        (
            Text(
                "What each component adds directly to a difference of logits: signed, per sequence, then averaged. The final "
                "norm's weight is folded into the unembedding, its bias is a row of its own, and its scale is frozen at the "
                "clean value. Positions before 3, and those whose previous or current token is repeated, are left out."
            ),
            *(
                Picture(
                    pictures.logit_attribution(results["attribution"], question),
                    "95% interval over sequences. The rows sum to the logits.",
                    f"Direct logit attribution by component for {question}",
                )
                for question in results["attribution"]
            ),
            Table(
                ("question", "component", "scale frozen", "scale recomputed"),
                rows,
                "The check on the frozen scale: how much the difference falls when the component is taken away and the scale is "
                "computed anew (logits).",
                ("text", "text", "number", "number"),
            ),
        ),
    )


def _ablation(results: Json) -> Section:
    losses, reference = results["mean_ablation"], original()["mean_ablation"]
    rows = [
        (
            agreement.expected.what,
            ", ".join(f"{loss:.4g}" for loss in agreement.losses.values()),
            ", ".join(
                f"{reference['baseline'] if hook == 'baseline' else reference['loss'][hook]:.4g}"
                for hook in agreement.losses
            ),
            "yes" if not agreement.outside else "differs: " + ", ".join(agreement.outside),
        )
        for agreement in compare(losses)
    ]
    return Section(
        "Mean ablation of every hook",
        "ablation",
        (
            Picture(
                pictures.mean_ablation(losses),
                "One hook at a time, replaced by its mean over a separate batch, kept per position. To the right of the line: "
                "the activation carried something about the sequence that the model needs.",
                "Loss under mean ablation of each hook on a logarithmic axis",
            ),
            Table(
                ("in the original", "this run", "original", "agrees"),
                rows,
                "Losses in nats beside the original's. The original is one seed at learning rate 1e-4 for 4,000 steps.",
            ),
        ),
    )


def _about(results: Json) -> Section:
    settings = {**results["config"]["model"], **results["config"]["training"]}
    return Section(
        "How this was made",
        "about",
        (
            Table(
                ("setting", "value"),
                [(name, str(value)) for name, value in settings.items()],
                f"Model and training, preset {results['preset']}, seed {results['seed']}.",
            ),
            Table(
                ("part", "seconds"),
                [(name, float(seconds)) for name, seconds in results["times"].items()],
                "Time taken.",
                ("text", "number"),
            ),
        ),
    )


def _claim(results: Json, id: str) -> Json:
    return next(claim for claim in results["claims"] if claim["id"] == id)
