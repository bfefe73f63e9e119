"""The tuned lens: an affine translator a stage, trained so that the final norm and unembedding can read the stream there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor
from tqdm import tqdm

from unweave.analysis.norms import quiet_norm
from unweave.analysis.requirements import require_whole
from unweave.core import seeds
from unweave.core.errors import InputError
from unweave.core.files import file_atomic
from unweave.core.results import Result
from unweave.core.sites import block_site
from unweave.engine.inputs import Inputs, as_inputs, require_model
from unweave.engine.provenance import data_hash, weights_hash
from unweave.model.transformer import HookedTransformer

FORMAT = "unweave-tuned-lens"
CHUNK = 16


@dataclass(frozen=True, eq=False)
class TunedLens:
    """`stream + stream @ change[stage] + bias[stage]`, which the model's final norm and unembedding then read.

    Args:
        change, bias: of the stages "0_pre", "1_pre", …; the final stream needs none.
        result: divergence from the model's own prediction on held-out sequences, in nats a token: dimensions
            "stage" and "lens" ("logit", "tuned").
    """

    change: Float[Tensor, "stage d_model d_model"]
    bias: Float[Tensor, "stage d_model"]
    result: Result

    @property
    def stages(self) -> tuple[str, ...]:
        """Those with a translator."""
        return tuple(f"{layer}_pre" for layer in range(len(self.bias)))

    @torch.no_grad()
    def logits(
        self, model: HookedTransformer, cache: Mapping[str, Tensor]
    ) -> tuple[Float[Tensor, "stage sample pos d_vocab"], list[str]]:
        """The logits that the lens reads at each stage, the model's own last; and the stages.

        Raises:
            InputError: for another model than the lens was trained on.
        """
        self.require(model)
        last = cache[block_site(model.cfg.n_layers - 1, "resid_post")]
        streams = [cache[block_site(layer, "resid_pre")] for layer in range(len(self.bias))]
        read = [
            _read(model, _translated(stream, self.change[n], self.bias[n]))
            for n, stream in enumerate(streams)
        ]
        return torch.stack([*read, _read(model, last)]), [*self.stages, "final_post"]

    def require(self, model: HookedTransformer) -> None:
        """Raise InputError unless the lens was trained on this model, as it is now."""
        if weights_hash(model) != self.result.provenance["weights"]:
            raise InputError(
                wanted="the model that this lens was trained on",
                got="one of other weights",
                remedy="train a lens on this one",
            )

    def save(self, path: str | Path) -> None:
        """Write the lens, and beside it its result as NAME.result."""
        self.result.save(Path(f"{path}.result"))
        tensors = {"change": self.change.cpu().contiguous(), "bias": self.bias.cpu().contiguous()}
        with file_atomic(Path(path)) as part:
            save_file(tensors, part, metadata={"unweave": json.dumps({"format": FORMAT})})

    @classmethod
    def load(cls, path: str | Path) -> TunedLens:
        """Open what `save` wrote.

        Raises:
            InputError: if it is missing or something else.
        """
        try:
            with safe_open(Path(path), framework="pt") as file:
                found = json.loads((file.metadata() or {}).get("unweave", "{}")).get("format")
                if found == FORMAT:
                    result = Result.load(Path(f"{path}.result"))
                    return cls(file.get_tensor("change"), file.get_tensor("bias"), result)
                got = "another file"
        except (OSError, SafetensorError) as error:
            got = str(error)
        raise InputError(wanted=f"a tuned lens in {path}", got=got, remedy="name a file that lens.save wrote")


def tuned_lens(
    model: HookedTransformer,
    tokens: Tensor | Inputs,
    *,
    steps: int = 250,
    batch_size: int = 16,
    lr: float = 1e-3,
    held_out: float = 0.2,
    seed: int = 0,
    progress: bool = False,
    attention_mask: Tensor | None = None,
    token_type_ids: Tensor | None = None,
) -> TunedLens:
    """Train a translator a stage to predict what the model will: least KL(model || lens), in nats a token.

    It begins as the identity, which is the logit lens, and changes by Adam with a rate that falls to 0. The
    model stays as it is. (Belrose et al., 2023, arXiv:2303.08112. They use SGD with momentum or Muon.)

    Args:
        tokens: what to train on, and to judge on: a share of `held_out` of the different sequences.
        batch_size: sequences a step.
        lr: Adam's first rate.
        progress: show a bar.

    Returns:
        The lens. `lens.result` has the held-out divergence at each stage beside the logit lens'; its
        warnings name stages where training made it no better.

    Raises:
        InputError: for too few sequences, or steps or a batch that are no whole numbers.
    """
    model = require_model(model)
    require_whole("steps", steps, 0)
    require_whole("batch_size", batch_size, 1)
    inputs = as_inputs(tokens, attention_mask=attention_mask, token_type_ids=token_type_ids)
    fitted, held = _split(inputs, held_out, seed)
    n_stages, width = model.cfg.n_layers, model.cfg.d_model
    change = torch.zeros(n_stages, width, width, device=model.W_E.device, dtype=model.W_E.dtype)
    change, bias = change.requires_grad_(), change.new_zeros(n_stages, width).requires_grad_()
    frozen = [(parameter, parameter.requires_grad) for parameter in model.parameters()]
    optimizer = torch.optim.Adam([change, bias], lr=lr)
    draw = seeds.generator(seed, "tuned lens")
    try:
        for parameter, _ in frozen:
            parameter.requires_grad_(False)
        for step in tqdm(range(steps), desc="tuned lens", unit="step", disable=not progress):
            for group in optimizer.param_groups:
                group["lr"] = lr * (1 - step / steps)
            some = fitted[torch.randint(len(fitted), (batch_size,), generator=draw)]
            streams, final, counted = _streams(model, _of(inputs, some))
            with torch.enable_grad():
                loss = torch.stack(
                    [
                        (_divergence(model, final, _translated(x, change[n], bias[n])) * counted).sum()
                        / counted.sum()
                        for n, x in enumerate(streams)
                    ]
                ).sum()
                # The stages share no weights: each gets the gradient of its own divergence.
                optimizer.zero_grad()
                loss.backward()
                optimizer.step()
    finally:
        for parameter, wanted in frozen:
            parameter.requires_grad_(wanted)
    change, bias = change.detach(), bias.detach()
    return TunedLens(
        change,
        bias,
        _judged(
            model,
            inputs,
            held,
            change,
            bias,
            {"steps": steps, "batch_size": batch_size, "lr": lr, "seed": seed},
        ),
    )


@torch.no_grad()
def _judged(
    model: HookedTransformer,
    inputs: Inputs,
    held: Tensor,
    change: Tensor,
    bias: Tensor,
    facts: dict[str, Any],
) -> Result:
    columns: list[Tensor] = []
    for some in held.split(CHUNK):
        streams, final, counted = _streams(model, _of(inputs, some))
        weights = counted / counted.sum(1, keepdim=True)
        pairs = [(x, _translated(x, change[n], bias[n])) for n, x in enumerate(streams)]
        columns.append(
            torch.stack(
                [
                    torch.stack([(_divergence(model, final, x) * weights).sum(1) for x in pair])
                    for pair in pairs
                ]
            )
        )
    per_sample = torch.cat(columns, -1).cpu()
    values = per_sample.mean(-1)
    stages = tuple(f"{layer}_pre" for layer in range(len(values)))
    warnings = [
        f"{stage}: tuned {tuned:.3f} nats, no better than the logit lens' {plain:.3f} on held-out sequences: train on "
        "more tokens, or with another rate"
        for stage, (plain, tuned) in zip(stages, values.tolist(), strict=True)
        if facts["steps"] and not tuned < plain
    ]
    return Result(
        values,
        ("stage", "lens"),
        {"stage": stages, "lens": ("logit", "tuned")},
        "nats",
        per_sample,
        provenance={
            "metric": "KL",
            "values": "divergences",
            "operation": "tuned lens",
            "method": "affine translators, KL(model || lens)",
            "weights": weights_hash(model),
            "data": data_hash(inputs),
            "dtype": str(model.W_E.dtype).removeprefix("torch."),
            "samples": len(held),
            **facts,
        },
        warnings=tuple(warnings),
    )


@torch.no_grad()
def _streams(model: HookedTransformer, inputs: Inputs) -> tuple[list[Tensor], Tensor, Tensor]:
    """The stream at each stage, the model's log-probabilities, and which positions count."""
    names = [block_site(layer, "resid_pre") for layer in range(model.cfg.n_layers)]
    logits, cache = model.run_with_cache(
        inputs.tokens, names_filter=names, return_cache_object=False, **inputs.others
    )
    mask = inputs.attention_mask
    counted = torch.ones(inputs.shape) if mask is None else mask
    return [cache[name] for name in names], logits.log_softmax(-1), counted.to(logits)


def _divergence(
    model: HookedTransformer, final: Float[Tensor, "sample pos vocab"], stream: Float[Tensor, "sample pos d"]
) -> Float[Tensor, "sample pos"]:
    """KL(model || lens), in nats."""
    return (final.exp() * (final - _read(model, stream).log_softmax(-1))).sum(-1)


def _translated(
    stream: Float[Tensor, "sample pos d"], change: Float[Tensor, "d d"], bias: Float[Tensor, " d"]
) -> Float[Tensor, "sample pos d"]:
    return stream + stream @ change.to(stream) + bias.to(stream)


def _read(
    model: HookedTransformer, stream: Float[Tensor, "sample pos d"]
) -> Float[Tensor, "sample pos vocab"]:
    return model.logits(quiet_norm(model.ln_final, stream))


def _split(inputs: Inputs, held_out: float, seed: int) -> tuple[Tensor, Tensor]:
    """Which samples are trained on, and which are held out; copies of a sequence go together."""
    copies = inputs.tokens.cpu().unique(dim=0, return_inverse=True)[1]
    n = int(copies.max()) + 1
    n_held = max(round(held_out * n), 1)
    if not 0.0 < held_out < 1.0 or n - n_held < 1:
        raise InputError(
            wanted="two different sequences or more, and a share between 0 and 1 to hold out",
            got=f"{n}, held_out={held_out}",
            remedy="pass more sequences",
        )
    order = torch.randperm(n, generator=seeds.generator(seed, "held out"))
    is_held = torch.isin(copies, order[:n_held])
    return torch.where(~is_held)[0], torch.where(is_held)[0]


def _of(inputs: Inputs, samples: Tensor) -> Inputs:
    mask, types = inputs.attention_mask, inputs.token_type_ids
    return Inputs(
        inputs.tokens[samples.to(inputs.tokens.device)],
        None if mask is None else mask[samples.to(mask.device)],
        None if types is None else types[samples.to(types.device)],
    )
