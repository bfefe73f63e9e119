"""What a shape has room for agrees with the list of its edges, and with published counts."""

from __future__ import annotations

from typing import Any

import pytest

from unweave.core.errors import InputError
from unweave.core.shape import Shape


@pytest.mark.parametrize(
    "fields", [{}, {"mlp": False}, {"pos_embed": False, "parallel": True}, {"parallel": True}]
)
def test_readings_number_the_edges_as_they_are_listed(fields: dict[str, Any]):
    shape = Shape(3, 2, **fields)
    seen: list[int] = []
    for reading in shape.readings:
        for receiver in range(reading.n_receivers):
            edges = [shape.edges[number] for number in reading.numbers(receiver)]
            assert [edge.sender for edge in edges] == list(shape.senders[: reading.n_senders])
            assert {edge.receiver.head for edge in edges} == {
                receiver if reading.input in ("q", "k", "v") else None
            }
            assert all(str(edge).endswith(_ending(reading.name, receiver)) for edge in edges)
            seen += reading.numbers(receiver)
    assert sorted(seen) == list(range(len(shape.edges)))
    assert all(shape.edges[shape.number[edge]] == edge for edge in shape.edges)


def _ending(name: str, receiver: int) -> str:
    """`a1<q>` as the edges into head `receiver` end."""
    return "->" + (name.replace("<", f".h{receiver}<") if "<" in name else name)


def test_gpt2_small_has_as_many_edges_as_published():
    """32,491 with one node for the input (Hanna et al., 2024; Mueller et al., 2025); positions apart add one
    sender to each of 12 * 12 * 3 + 12 + 1 inputs."""
    one, apart = Shape(12, 12, pos_embed=False), Shape(12, 12)
    assert _size(one) == 32_491
    assert _size(apart) == 32_491 + 12 * 12 * 3 + 12 + 1


def _size(shape: Shape) -> int:
    return sum(reading.n_receivers * reading.n_senders for reading in shape.readings)


def test_what_isn_t_there_is_told():
    with pytest.raises(
        InputError, match="an edge of a model of 1 layers and 1 heads; got m1->logits; nearest: m0"
    ):
        Shape(1, 1).numbers(["m1->logits"])
    with pytest.raises(InputError, match="at least one layer and one head; got 0 and 1"):
        Shape(0, 1)
