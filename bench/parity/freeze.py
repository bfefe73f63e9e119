"""Freeze a few tiny runs of TransformerLens 3.9.0 for the tests: `python -m bench.parity.freeze`.

Each file of tests/model/parity/ holds one case: config and padding as metadata, weights, tokens, logits
and every hook. Written anew only when the set of cases changes.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from pathlib import Path

from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.parity.grid import WINDOWS, Case
from bench.parity.weights import padding_mask, random_tokens, random_weights
from bench.peers.channel import ROOT, Worker
from bench.peers.environment import PEER, PeerAbsent, peer_python

FOLDER = ROOT / "tests" / "model" / "parity"
LIMIT_BYTES = 1_400_000
BATCH, POSITIONS = 2, 4
TINY = {
    "n_layers": 2,
    "d_model": 8,
    "n_heads": 2,
    "d_head": 3,
    "d_mlp": 10,
    "n_ctx": 5,
    "d_vocab": 7,
    "eps": 1e-3,  # large enough that another one shows
}
NARROW = {**WINDOWS, "window_size": 2}

LLAMA = {
    "normalization_type": "RMS",
    "positional_embedding_type": "rotary",
    "rotary_dim": 2,
    "gated_mlp": True,
    "act_fn": "silu",
    "n_key_value_heads": 1,
}
GEMMA_2 = {
    "normalization_type": "RMS",
    "positional_embedding_type": "rotary",
    "rotary_dim": 2,
    "gated_mlp": True,
    "act_fn": "gelu_pytorch_tanh",
    "use_normalization_before_and_after": True,
    "attn_scores_soft_cap": 1.5,
    "output_logits_soft_cap": 2.0,
    **NARROW,
}
STRETCHED = {
    "positional_embedding_type": "rotary",
    "d_head": 6,
    "use_NTK_by_parts_rope": True,
    "NTK_by_parts_low_freq_factor": 1.0,
    "NTK_by_parts_high_freq_factor": 4.0,
    "NTK_by_parts_factor": 8.0,
    "NTK_original_ctx_len": 200,
}
EXPERTS = {"num_experts": 3, "experts_per_token": 2, "gated_mlp": True, "act_fn": "silu"}

FROZEN = [
    Case("plain", {"act_fn": "gelu"}),
    Case("no_position", {"positional_embedding_type": "none", "act_fn": "relu"}),
    Case(
        "no_norm", {"normalization_type": None, "positional_embedding_type": "sinusoidal", "act_fn": "silu"}
    ),
    Case("attention_only", {"attn_only": True, "positional_embedding_type": "none"}),
    Case("llama", LLAMA),
    Case("solu", {"normalization_type": "LNPre", "act_fn": "solu_ln"}),
    Case("alibi_parallel", {"positional_embedding_type": "alibi", "parallel_attn_mlp": True}),
    Case("shortformer", {"positional_embedding_type": "shortformer", "normalization_type": "RMSPre"}),
    Case("gemma_2", GEMMA_2),
    Case("left_padded", {"act_fn": "gelu_new"}, padding="left"),
    Case("right_padded_rotary", {"positional_embedding_type": "rotary", "rotary_dim": 2}, padding="right"),
    Case("left_padded_alibi", {"positional_embedding_type": "alibi", "act_fn": "relu"}, padding="left"),
    Case(
        "gpt_j",
        {
            "positional_embedding_type": "rotary",
            "d_head": 6,
            "rotary_dim": 4,
            "rotary_adjacent_pairs": True,
            "parallel_attn_mlp": True,
            "act_fn": "gelu_new",
        },
    ),
    Case("stretched_rotary", STRETCHED),
    Case("grouped_windows", {"n_heads": 4, "n_key_value_heads": 2, "act_fn": "gelu_fast", **NARROW}),
    Case(
        "grouped_parallel_gated", {**LLAMA, "n_heads": 4, "n_key_value_heads": 2, "parallel_attn_mlp": True}
    ),
    Case("attention_only_rms_windows", {"attn_only": True, "normalization_type": "RMS", **NARROW}),
    Case("bidirectional", {"attention_dir": "bidirectional", "act_fn": "solu"}),
    Case("scaled_by_layer", {"scale_attn_by_inverse_layer_idx": True, "attn_scale": 1.7}),
    Case("squared_relu_final_rms", {"act_fn": "relu2", "final_rms": True}),
    Case("other_vocabulary_embedding_norm", {"d_vocab_out": 5, "post_embedding_ln": True}),
    Case("qk_norm", {"use_qk_norm": True, "normalization_type": "RMS"}),
    Case("experts", EXPERTS),
    Case("float64", {"dtype": "float64", "normalization_type": "LNPre", "gated_mlp": True, "act_fn": "relu"}),
]


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m bench.parity.freeze", description=__doc__)
    parser.add_argument("--peer-python", help="the Python with transformer-lens (or UNWEAVE_TL_PYTHON)")
    try:
        python = peer_python(parser.parse_args().peer_python)
    except PeerAbsent as absent:
        print(f"Nothing frozen: {absent}", file=sys.stderr)
        return 2
    FOLDER.mkdir(parents=True, exist_ok=True)
    with Worker(python, "bench.parity.tl_worker") as worker:
        sizes = [freeze(case, worker) for case in FROZEN]
        names = worker.ask(question="signatures")
    # One line a member, so that a change can be read.
    (FOLDER / "signatures.json").write_text(json.dumps(names, indent=1) + "\n")
    print(f"{len(sizes)} files, {sum(sizes)} bytes")
    return int(sum(sizes) > LIMIT_BYTES)


def freeze(case: Case, worker: Worker) -> int:
    """Write one case; its size in bytes."""
    config = {**case.config, **TINY, **case.fields}
    with tempfile.TemporaryDirectory() as name:
        inputs, outputs = Path(name) / "inputs.safetensors", Path(name) / "outputs.safetensors"
        asked(worker, config, None, outputs)
        weights = random_weights(load_file(outputs), seed=2)
        given = {**weights, "tokens": random_tokens(config, BATCH, POSITIONS)}
        if case.padding:
            given["attention_mask"] = padding_mask(case.padding, BATCH, POSITIONS)
        save_file(given, inputs)
        asked(worker, config, inputs, outputs)
        return write(FOLDER / f"{case.name}.safetensors", config, given, load_file(outputs))


def asked(worker: Worker, config: dict, inputs: Path | None, outputs: Path) -> None:
    reply = worker.ask(config=config, inputs=inputs and str(inputs), outputs=str(outputs))
    if "error" in reply:
        raise RuntimeError(f"the peer cannot run {config}: {reply['error']}")


def write(path: Path, config: dict, given: dict[str, Tensor], theirs: dict[str, Tensor]) -> int:
    metadata = {"config": json.dumps(config), "made by": "==".join(PEER)}
    save_file({**{f"given {name}": v for name, v in given.items()}, **theirs}, path, metadata)
    return path.stat().st_size


def thaw(path: Path) -> tuple[dict, dict[str, Tensor], dict[str, Tensor]]:
    """The config, what both were given (weights, tokens, attention_mask), and what the peer made of it."""
    with safe_open(path, "pt") as file:
        config = json.loads(file.metadata()["config"])
    tensors = load_file(path)
    given = {name.removeprefix("given "): v for name, v in tensors.items() if name.startswith("given ")}
    return config, given, {name: v for name, v in tensors.items() if not name.startswith("given ")}


if __name__ == "__main__":
    sys.exit(main())
