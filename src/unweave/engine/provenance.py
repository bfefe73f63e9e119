"""Fingerprints of weights and data: the same for the same numbers, on any device."""

from __future__ import annotations

import hashlib
from functools import cache

import numpy as np
import torch
from torch import Tensor

from unweave.core import seeds
from unweave.engine.inputs import Inputs
from unweave.model.transformer import HookedTransformer

# Numbers of 8 bytes that one checksum covers.
WORDS = 2**16


@torch.no_grad()
def weights_hash(model: HookedTransformer) -> str:
    """Of every parameter and buffer that is saved: names, dtypes, shapes and numbers.

    It tells models apart; it is no protection against somebody who wants two to look alike.
    """
    digest = hashlib.sha256()
    for name, tensor in sorted(model.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(_checksums(tensor))
    return digest.hexdigest()[:16]


def data_hash(inputs: Inputs) -> str:
    """Of tokens, mask and types."""
    digest = hashlib.sha256()
    for tensor in (inputs.tokens, inputs.attention_mask, inputs.token_type_ids):
        if tensor is None:
            digest.update(b"none\n")
            continue
        digest.update(f"{tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().long().contiguous().numpy().tobytes())
    return digest.hexdigest()[:16]


def _checksums(tensor: Tensor) -> bytes:
    """A weighted sum modulo 2^64 of each block, made where the tensor lies: fast enough for every sweep."""
    raw = tensor.detach().contiguous().flatten().view(torch.uint8)
    padding = -len(raw) % 8
    words = (torch.cat([raw, raw.new_zeros(padding)]) if padding else raw).view(torch.int64)
    weights = _weights(words.device)
    if words.device.type == "cpu":
        # The same sums by numpy, which does small ones sooner.
        parts = (words[first : first + WORDS].numpy() for first in range(0, max(len(words), 1), WORDS))
        return np.array([np.dot(part, weights.numpy()[: len(part)]) for part in parts], np.int64).tobytes()
    sums = [(block * weights[: len(block)]).sum() for block in words.split(WORDS)]
    return torch.stack(sums).cpu().numpy().tobytes() if sums else b""


@cache
def _weights(device: torch.device) -> Tensor:
    """Odd numbers, always the same."""
    generator = seeds.generator(0, "checksum")
    drawn = torch.randint(-(2**63), 2**63 - 1, (WORDS,), generator=generator, dtype=torch.int64)
    return (drawn | 1).to(device)
