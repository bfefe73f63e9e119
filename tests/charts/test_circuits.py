"""A circuit's picture shows each of its components once, and each edge as a line between its ends."""

from __future__ import annotations

import pytest

from unweave.core.circuit import Circuit
from unweave.core.errors import InputError
from unweave.core.shape import Shape

EDGES = ["embed->a0.h0<v>", "a0.h0->a1.h1<k>", "a0.h0->m1", "a1.h1->m1", "m1->logits"]


def test_components_and_edges_are_where_they_belong():
    figure = Circuit.of(EDGES, Shape(2, 2)).plot()
    nodes = figure.data[-1]
    assert list(nodes.text) == ["embed", "a0.h0", "a1.h1", "m1", "logits"]
    assert list(nodes.y) == [0, 1, 2, 3, 4]
    place = dict(zip(nodes.text, zip(nodes.x, nodes.y, strict=True), strict=True))
    by_name = {trace.name: trace for trace in figure.data[:-1]}
    assert set(by_name) == {"into keys", "into values", "into MLPs and logits"}
    assert sum(list(trace.x).count(None) for trace in by_name.values()) == len(EDGES)
    keys = by_name["into keys"]
    assert (keys.x[0], keys.y[0]) == place["a0.h0"]
    assert (keys.x[12], keys.y[12]) == pytest.approx(place["a1.h1"])
    assert figure.layout.title.text == "A circuit of 5 edges"
    assert len({trace.line.dash for trace in by_name.values()}) == 3


def test_an_empty_circuit_is_refused():
    with pytest.raises(InputError, match="wanted a circuit with edges; got one without"):
        Circuit.of([], Shape(1, 1)).plot()
