"""The planted models by name."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping

import torch
from torch import Tensor

from unweave.core.edges import Edge, Node
from unweave.core.errors import InputError, nearest
from unweave.planted.algorithm import Algorithm
from unweave.planted.catalogue import copying, counting, paths
from unweave.planted.compiler import compile  # noqa: A004  (its public name)
from unweave.planted.expectations import Contrast
from unweave.planted.planted_model import PlantedModel

RECIPES = {recipe.name: recipe for recipe in (*copying.RECIPES, *counting.RECIPES, *paths.RECIPES)}


def names() -> list[str]:
    """The planted models that `load` makes."""
    return list(RECIPES)


def load(
    name: str,
    *,
    decoys: int = 0,
    seed: int = 0,
    dtype: str | torch.dtype = "float32",
    device: str | torch.device | None = None,
) -> PlantedModel:
    """A model whose algorithm and circuit are known, made on the spot.

    It is exact on every sequence that it reads: `load(name).mistakes()` is empty.

    Args:
        name: one of `names()`.
        decoys: so many more heads a layer, with random weights, that nothing in the circuit reads. The
            circuit's heads are shuffled among them; edges, steps and expectations follow.
        seed: of the decoys.
        dtype: "float32" or "float64".
        device: where to put it; None means the CPU.

    Raises:
        InputError: for another name, or a value that cannot be honoured.
    """
    if name not in RECIPES:
        raise InputError(
            wanted="the name of a planted model", got=repr(name), remedy=f"nearest: {nearest(name, RECIPES)}"
        )
    recipe = RECIPES[name]
    program = recipe.program()
    planted = compile(
        program,
        n_tokens=recipe.n_tokens,
        max_length=recipe.max_length,
        causal=recipe.causal,
        name=name,
        decoys=decoys,
        seed=seed,
        dtype=dtype,
        device=device,
    )
    algorithm = Algorithm(recipe.algorithm, recipe.n_tokens, recipe.max_length, program.numerical)
    dormant = frozenset(_moved_edge(edge, planted.moved) for edge in recipe.dormant)
    return dataclasses.replace(
        planted,
        description=recipe.description,
        algorithm=algorithm,
        dormant=dormant,
        token_edges=planted.token_edges - dormant,
        contrast=Contrast(
            _with_bos(recipe.clean, planted), _with_bos(recipe.corrupted, planted), recipe.position
        ),
        expectations=tuple(
            dataclasses.replace(e, nodes=tuple(_moved(node, planted.moved) for node in e.nodes))
            for e in recipe.expectations
        ),
    )


def _moved(node: Node, moved: Mapping[Node, Node]) -> Node:
    return moved.get(node, node)


def _moved_edge(edge: Edge, moved: Mapping[Node, Node]) -> Edge:
    return Edge(_moved(edge.sender, moved), _moved(edge.receiver, moved), edge.input)


def _with_bos(sequence: tuple[int, ...], planted: PlantedModel) -> Tensor:
    return torch.tensor([[0, *sequence]], device=planted.model.W_E.device)
