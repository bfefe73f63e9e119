"""The data that a model is run over, as batches of numbered samples, whatever it came as."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from unweave.core.errors import InputError
from unweave.engine.inputs import Inputs, as_inputs

Data = Tensor | Inputs | Iterable[Tensor | Inputs]


@dataclass(frozen=True, eq=False)
class Rows:
    """Samples that are run together.

    Args:
        numbers: of the samples, in the whole data.
        prints: the fingerprint of this part's data up to and including each sample.
    """

    inputs: Inputs
    numbers: list[int]
    prints: list[str]


@dataclass
class Reader:
    """Goes through the data once, and gives one part's samples.

    Args:
        part, parts: sample number s is given if `s % parts == part`; all are counted and fingerprinted.
        size: samples in a batch; those of different lengths are never in one.
    """

    part: int
    parts: int
    size: int
    samples: int = 0
    _whole: Any = field(default_factory=hashlib.sha256)
    _own: Any = field(default_factory=hashlib.sha256)

    @property
    def fingerprint(self) -> str:
        """Of all data that has been read."""
        return self._whole.hexdigest()[:16]

    def batches(self, data: Data) -> Iterator[Rows]:
        """The part's samples, in order, as batches that don't depend on how the data was divided."""
        held: list[tuple[Inputs, int, str]] = []
        for item in _items(data):
            for sample in self._split(item):
                if held and (len(held) == self.size or not _alike(held[0][0], sample[0])):
                    yield _joined(held)
                    held = []
                held.append(sample)
        if held:
            yield _joined(held)

    def _split(self, inputs: Inputs) -> Iterator[tuple[Inputs, int, str]]:
        for row in range(inputs.shape[0]):
            sample, number = inputs.of(slice(row, row + 1)), self.samples
            self.samples += 1
            raw = _bytes(sample)
            self._whole.update(raw)
            if number % self.parts == self.part:
                self._own.update(raw)
                yield sample, number, self._own.hexdigest()[:16]


def _items(data: Data) -> Iterator[Inputs]:
    if isinstance(data, Tensor | Inputs):
        yield as_inputs(data)
        return
    if isinstance(data, str) or not isinstance(data, Iterable):
        raise InputError(
            wanted="tokens [sample, pos], Inputs, or an iterable of them",
            got=type(data).__name__,
            remedy="turn text into tokens first, with model.to_tokens",
        )
    for item in data:
        yield as_inputs(item)


def _alike(first: Inputs, second: Inputs) -> bool:
    """Whether they can be run together."""
    return first.shape[1] == second.shape[1] and all(
        (a is None) == (b is None)
        for a, b in (
            (first.attention_mask, second.attention_mask),
            (first.token_type_ids, second.token_type_ids),
        )
    )


def _joined(held: list[tuple[Inputs, int, str]]) -> Rows:
    inputs = [sample for sample, _, _ in held]

    def together(name: str) -> Tensor | None:
        parts = [getattr(one, name) for one in inputs]
        return None if parts[0] is None else torch.cat(parts)

    tokens = torch.cat([one.tokens for one in inputs])
    joined = Inputs(tokens, together("attention_mask"), together("token_type_ids"))
    return Rows(joined, [number for _, number, _ in held], [print_ for _, _, print_ in held])


def _bytes(sample: Inputs) -> bytes:
    found = bytearray()
    for tensor in (sample.tokens, sample.attention_mask, sample.token_type_ids):
        if tensor is None:
            found += b"none\n"
        else:
            found += f"{tuple(tensor.shape)}\n".encode()
            found += tensor.detach().cpu().long().contiguous().numpy().tobytes()
    return bytes(found)
