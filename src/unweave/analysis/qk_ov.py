"""Heads read off their weights: QK and OV circuits in tokens, copying, composition, and directions of OV.

(Elhage et al., 2021, "A Mathematical Framework for Transformer Circuits".) Matrices multiply rows from the
right: a circuit's rows are what is read (or the query), its columns what is written (or the key). Norms'
weights, and the centring of LayerNorm, are folded in, whether or not the model's are; their scale, which depends
on the input, is left out, and so are biases and positions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from unweave.analysis.requirements import require_whole
from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.factored_matrix import FactoredMatrix
from unweave.core.results import Result
from unweave.engine.inputs import require_model
from unweave.engine.provenance import weights_hash
from unweave.model.composition import composition_scores
from unweave.model.decompositions import ADDED_POSITIONS
from unweave.model.transformer import HookedTransformer

MODES = ("Q", "K", "V")


def qk_circuit(model: HookedTransformer, layer: int, head: int) -> FactoredMatrix:
    """The full QK circuit, `[d_vocab, d_vocab]`: how much a query token (row) wants a key token (column).

    `W_E W_Q W_K.T W_E.T`, before the division by `attn_scale`, and as far as the embedding reaches the
    head unchanged. With grouped queries, the keys are those of the head's group.

    Raises:
        InputError: for a head that isn't there, or a model whose norms come after what reads them.
    """
    model, layer, head = _head(model, layer, head)
    embed = _embedding(model) @ _read(model, layer)
    return FactoredMatrix(embed @ model.W_Q[layer, head], (embed @ model.W_K[layer, head]).mT)


def ov_circuit(model: HookedTransformer, layer: int, head: int) -> FactoredMatrix:
    """The full OV circuit, `[d_vocab, d_vocab_out]`: what attending to a token (row) adds to logits (columns).

    `W_E W_V W_O W_U`, as far as the embedding reaches the head, and its output the logits, unchanged.

    Raises:
        InputError: as `qk_circuit`.
    """
    model, layer, head = _head(model, layer, head)
    embed = _embedding(model) @ _read(model, layer)
    return FactoredMatrix(embed @ model.W_V[layer, head], model.W_O[layer, head] @ _unembedding(model))


@torch.no_grad()
def copying_scores(model: HookedTransformer) -> Result:
    """How much each head copies, by the eigenvalues of its full OV circuit: their sum over the sum of their sizes.

    1 where attending to any token raises that token's logit, -1 where it lowers it, and around 0 where
    tokens are mixed. Singular values, which have no sign, would not tell the first two apart. A sum
    can hide an exception: "own" is the share of tokens whose own logit is raised above the row's mean.

    Returns:
        Dimensions "score" ("eigenvalues", "own") and "head".

    Raises:
        InputError: as `qk_circuit`; or if tokens read and predicted differ.
    """
    model, layers = require_model(model), range(model.cfg.n_layers)
    if model.cfg.d_vocab != model.cfg.d_vocab_out:
        raise InputError(
            wanted="the same tokens read and predicted",
            got=f"{model.cfg.d_vocab} and {model.cfg.d_vocab_out}",
            remedy="look at ov_circuit",
        )
    rows: list[list[float]] = []
    for layer in layers:
        for head in range(model.cfg.n_heads):
            circuit = ov_circuit(model, layer, head)
            circuit = FactoredMatrix(circuit.A.double(), circuit.B.double())
            values = circuit.eigenvalues
            own = (circuit.A * circuit.B.mT).sum(1) - circuit.A @ circuit.B.mean(1)
            total = values.abs().sum()
            rows.append([(values.real.sum() / total).item(), (own > 0).double().mean().item()])
    return Result(
        torch.tensor(rows).mT,
        ("score", "head"),
        {"score": ("eigenvalues", "own"), "head": tuple(model.all_head_labels())},
        "",
        provenance=_facts(model, "copying", "full OV circuits"),
        warnings=_said(model),
    )


@torch.no_grad()
def composition(model: HookedTransformer, mode: str = "K", *, draws: int = 16, seed: int = 0) -> Result:
    """How much of what each head writes each later one reads, beside what random matrices score.

    `|OV M| / (|OV| |M|)` in Frobenius norms, where M is the later head's QK (mode "Q"), its
    transpose ("K") or its OV ("V"), with the norm before it folded in.

    Args:
        draws: pairs of random heads of the same shapes, whose weights are normal; the baseline "random".

    Returns:
        Dimensions "sender" and "receiver". NaN where the receiver isn't later. `warnings` say how many
        pairs are beyond every draw.

    Raises:
        InputError: as `qk_circuit`; for another mode.
    """
    model = require_model(model)
    require_whole("draws", draws, 2)
    if mode not in MODES:
        raise InputError(wanted="a mode of composition", got=repr(mode), remedy="write 'Q', 'K' or 'V'")
    cfg, labels = model.cfg, tuple(model.all_head_labels())
    values = torch.full((len(labels), len(labels)), torch.nan, dtype=torch.float64)
    ov = FactoredMatrix(model.W_V.double(), model.W_O.double())
    for later in range(1, cfg.n_layers):
        read = _read(model, later).double()
        q, k, v = (read @ getattr(model, name)[later].double() for name in ("W_Q", "W_K", "W_V"))
        reads = {
            "Q": FactoredMatrix(q, k.mT),
            "K": FactoredMatrix(k, q.mT),
            "V": FactoredMatrix(v, model.W_O[later].double()),
        }[mode]
        for layer in range(later):
            # What is written counts as it is read: the norm's weight is in the reader.
            scores = composition_scores(ov[layer], reads)
            at, to = layer * cfg.n_heads, later * cfg.n_heads
            values[at : at + cfg.n_heads, to : to + cfg.n_heads] = scores
    draw = seeds.generator(seed, "composition")

    def random() -> FactoredMatrix:
        shape = cfg.d_model, cfg.d_head
        a, b = (torch.randn(shape, generator=draw, dtype=torch.float64) for _ in range(2))
        return FactoredMatrix(a, b.mT)

    chance = torch.stack([composition_scores(random(), random()) for _ in range(draws)])
    beyond = int((values > chance.max()).sum())
    return Result(
        values,
        ("sender", "receiver"),
        {"sender": labels, "receiver": labels},
        "",
        baselines={"random": chance},
        provenance={
            **_facts(model, f"{mode}-composition", "Frobenius norms"),
            "beyond random": beyond,
            "seed": seed,
        },
        warnings=(
            f"{beyond} of {int((~values.isnan()).sum())} pairs are above every one of {draws} random ones (mean "
            f"{chance.mean():.3f}); trained weights share directions for many reasons: patch the edge to see whether it is "
            "used",
            *_said(model, tokens=False),
        ),
    )


@dataclass(frozen=True, eq=False)
class OVDirections:
    """The singular directions of a head's OV, read in tokens.

    Args:
        strengths: the singular values, dimension "direction".
        reads, writes: `[direction, sign, k]`, the tokens that lie most along what is read and written, with
            both signs: that of a singular vector is arbitrary, and both change together.
    """

    strengths: Result
    reads: Int[Tensor, "direction sign k"]
    writes: Int[Tensor, "direction sign k"]


@torch.no_grad()
def ov_directions(
    model: HookedTransformer, layer: int, head: int, *, directions: int = 5, k: int = 8
) -> OVDirections:
    """What a head moves, by the singular value decomposition of its OV in the residual stream.

    Each direction that is read (left) becomes one that is written (right), the strongest first. Tokens
    are those whose embedding, as the head reads it, and whose unembedding lie most along them.
    (Millidge and Black, 2022, "The Singular Value Decompositions of Transformer Weight Matrices".)

    Raises:
        InputError: as `qk_circuit`.
    """
    model, layer, head = _head(model, layer, head)
    require_whole("directions", directions, 1)
    require_whole("k", k, 1)
    read = _read(model, layer)
    matrix = FactoredMatrix(read @ model.W_V[layer, head], model.W_O[layer, head])
    u, s, v = matrix.svd()
    n = min(directions, len(s))
    sides = {
        "reads": (_embedding(model).to(u) @ u)[:, :n],
        "writes": (v.mT[:n] @ _unembedding(model).to(v)).mT,
    }
    top = {
        name: torch.stack([(sign * side).topk(min(k, len(side)), 0).indices for sign in (1, -1)], 1).permute(
            2, 1, 0
        )
        for name, side in sides.items()
    }
    share = (s[:n].square().sum() / s.square().sum()).item()
    strengths = Result(
        s[:n],
        ("direction",),
        {"direction": tuple(range(n))},
        "",
        provenance={
            **_facts(model, "singular value", "SVD of OV"),
            "head": f"L{layer}H{head}",
            "share of squares": share,
        },
        warnings=(
            *_said(model),
            *([f"these directions hold {share:.0%} of OV's squares"] if share < 0.9 else []),
        ),
    )
    return OVDirections(strengths, top["reads"], top["writes"])


def _head(model: object, layer: int, head: int) -> tuple[HookedTransformer, int, int]:
    known = require_model(model)
    for name, value, size in (("layer", layer, known.cfg.n_layers), ("head", head, known.cfg.n_heads)):
        if not -size <= value < size:
            raise InputError(
                wanted=f"a {name} from {-size} to {size - 1}", got=str(value), remedy="name another"
            )
    return known, layer % known.cfg.n_layers, head % known.cfg.n_heads


def _embedding(model: HookedTransformer) -> Float[Tensor, "d_vocab d_model"]:
    return model.W_E.detach() * getattr(model.cfg, "embedding_scale", 1.0)


def _read(model: HookedTransformer, layer: int) -> Float[Tensor, "d_model d_model"]:
    """What the norm before a layer's attention does but for its scale: rows times this."""
    if model.cfg.norm_position != "before" or getattr(model.cfg, "use_normalization_before_and_after", False):
        raise InputError(
            wanted="a model whose norms stand before what reads the residual stream",
            got=f"norm_position={model.cfg.norm_position!r}"
            if model.cfg.norm_position != "before"
            else "norms after attention too",
            remedy="its heads' outputs can't be read off their weights alone",
        )
    return _linear_part(model.blocks[layer].get_submodule("ln1"), model.W_E)


def _unembedding(model: HookedTransformer) -> Float[Tensor, "d_model d_vocab_out"]:
    return _linear_part(model.ln_final, model.W_E) @ model.W_U.detach() * model.cfg.logit_multiplier


def _linear_part(norm: nn.Module, like: Tensor) -> Float[Tensor, "d_model d_model"]:
    size = like.shape[1]
    part = torch.eye(size, dtype=like.dtype, device=like.device)
    if getattr(norm, "centres", False):
        part = part - 1.0 / size
    weight = getattr(norm, "w", None)
    return part if weight is None else part * weight.detach()


def _facts(model: HookedTransformer, metric: str, method: str) -> dict[str, Any]:
    return {
        "metric": metric,
        "values": "scores",
        "operation": "read off weights",
        "method": method,
        "norms": "weights and centring folded in, scale left out",
        "weights": weights_hash(model),
        "dtype": str(model.W_E.dtype).removeprefix("torch."),
    }


def _said(model: HookedTransformer, tokens: bool = True) -> tuple[str, ...]:
    said: Sequence[str] = ()
    cfg = model.cfg
    if tokens and cfg.n_layers > 1 and not cfg.attn_only:
        said = (
            "MLPs and other heads change the stream between embedding, head and logits: circuits in tokens say most of "
            "heads in the first layer (what they read) and in the last one (what they write)",
        )
    if cfg.positional_embedding_type not in (*ADDED_POSITIONS, "none") and not tokens:
        return said
    if cfg.use_qk_norm:
        said = (*said, "queries and keys are normed by head: a QK circuit here leaves those norms out")
    return tuple(said)
