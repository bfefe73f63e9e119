"""Circuits as values: sets of edges that know their shape."""

from __future__ import annotations

from pathlib import Path

import pytest

from unweave.core.circuit import Circuit
from unweave.core.errors import InputError
from unweave.core.shape import Shape

SHAPE = Shape(2, 2)
EDGES = ["embed->a0.h0<v>", "a0.h0->a1.h1<k>", "a1.h1->m1", "m1->logits"]


def test_it_is_a_set_of_edges_in_the_order_of_a_run():
    circuit = Circuit.of(reversed(EDGES), SHAPE)
    assert [str(edge) for edge in circuit] == EDGES
    assert len(circuit) == 4
    assert "m1->logits" in circuit and "m0->logits" not in circuit
    assert list(map(str, circuit.nodes)) == ["embed", "a0.h0", "a1.h1", "m1", "logits"]
    assert repr(circuit) == f"Circuit of 4 of {len(SHAPE.edges)} edges, 5 nodes"


def test_sets_are_made_of_sets():
    one, other = Circuit.of(EDGES, SHAPE), Circuit.of([EDGES[0], "m0->logits"], SHAPE)
    assert list(map(str, one & other)) == EDGES[:1]
    assert len(one | other) == 5
    assert list(map(str, other - one)) == ["m0->logits"]
    assert len(one ^ other) == 4
    assert one & other <= one and not one <= other
    assert one.complement | one == Circuit(frozenset(SHAPE.edges), SHAPE)
    assert len({one, Circuit.of(EDGES, SHAPE, warnings=("told",))}) == 1


def test_what_dangles_is_pruned():
    dangling = ["m0->a1.h0<q>", "a1.h0->m1", "embed->m0", "pos_embed->a0.h1<k>"]
    # m0 reads the embedding and is read; a1.h0 then sends on to m1. Nobody reads a0.h1.
    assert list(map(str, Circuit.of([*EDGES, *dangling], SHAPE).pruned() - Circuit.of(EDGES, SHAPE))) == [
        "embed->m0",
        "m0->a1.h0<q>",
        "a1.h0->m1",
    ]
    # Without an input of its own m0 sends nothing of this run on, and so all behind it goes.
    assert Circuit.of([*EDGES, *dangling[:2]], SHAPE).pruned() == Circuit.of(EDGES, SHAPE)
    assert len(Circuit.of(EDGES[1:], SHAPE).pruned()) == 0


def test_it_comes_back_from_disk(tmp_path: Path):
    circuit = Circuit.of(EDGES, SHAPE, provenance={"method": "by hand"}, warnings=("told",))
    circuit.save(tmp_path / "circuit.json")
    back = Circuit.load(tmp_path / "circuit.json")
    assert back == circuit
    assert (back.provenance, back.warnings) == (circuit.provenance, circuit.warnings)


def test_mistakes_are_told(tmp_path: Path):
    with pytest.raises(InputError, match="got m2->logits; nearest: m"):
        Circuit.of(["m2->logits"], SHAPE)
    with pytest.raises(InputError, match="wanted circuits of one shape"):
        Circuit.of(EDGES, SHAPE) | Circuit.of(EDGES, Shape(2, 3))
    with pytest.raises(InputError, match=r"name a file that circuit\.save wrote"):
        Circuit.load(tmp_path / "none.json")
    (tmp_path / "other.json").write_text('{"format": "unweave-circuit", "format_version": 9}')
    with pytest.raises(InputError, match="got unweave-circuit of version 9"):
        Circuit.load(tmp_path / "other.json")
