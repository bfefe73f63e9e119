"""Each public name and argument of TransformerLens 3.9's classes is ours too, or a known difference."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import unweave
from bench.parity.signature_differences import LACKING
from unweave.model.generate import generate
from unweave.pretrained.opening import from_pretrained

FROZEN = json.loads((Path(__file__).parent / "signatures.json").read_text())
# Methods that only pass their arguments on, and the function that has them.
FORWARDS = {
    ("HookedTransformer", "generate"): generate,
    ("HookedTransformer", "from_pretrained"): from_pretrained,
    ("HookedTransformer", "from_pretrained_no_processing"): from_pretrained,
}


def lacking(name: str, theirs: dict[str, list[str] | None]) -> Iterator[str]:
    """What our class of this name lacks of these members."""
    ours = getattr(unweave, name)
    for member, arguments in theirs.items():
        if member == "(fields)":
            have = inspect.signature(ours).parameters
            yield from (f"{name}({field})" for field in arguments or () if field not in have)
        elif member == "__init__" and name == "HookedTransformerConfig":
            continue  # its fields
        elif not hasattr(ours, member):
            yield f"{name}.{member}"
        elif arguments is not None:
            have = arguments_of(getattr(ours, member))
            have |= arguments_of(FORWARDS.get((name, member), lambda: None))
            yield from (f"{name}.{member}({argument})" for argument in arguments if argument not in have)


def arguments_of(function: Any) -> set[str]:
    """Names of its arguments, and what stands for any others, under whichever name."""
    found: set[str] = set()
    for name, parameter in inspect.signature(function).parameters.items():
        if parameter.kind == parameter.VAR_POSITIONAL:
            found |= {"*args", "*model_args"}
        elif parameter.kind == parameter.VAR_KEYWORD:
            found |= {"**kwargs", "**model_kwargs", "**from_pretrained_kwargs"}
        else:
            found.add(name)
    return found


@pytest.mark.parametrize("name", FROZEN)
def test_every_name_and_argument_is_ours_too(name: str):
    found = set(lacking(name, FROZEN[name]))
    known = {entry for entry in LACKING if entry.partition(".")[0].partition("(")[0] == name}
    assert found - known == set(), "missing, and not in bench/parity/signature_differences.py"
    assert known - found == set(), "in the table, and no longer missing"


def test_all_six_classes_are_frozen_whole():
    assert set(FROZEN) == {
        "HookedTransformer",
        "HookedTransformerConfig",
        "ActivationCache",
        "HookPoint",
        "HookedRootModule",
        "FactoredMatrix",
    }
    assert sum(len(members) for members in FROZEN.values()) > 150
    assert "attn_scores_soft_cap" in FROZEN["HookedTransformerConfig"]["(fields)"]
    assert FROZEN["HookedRootModule"]["add_hook"] == [
        "name",
        "hook",
        "dir",
        "is_permanent",
        "level",
        "prepend",
    ]


def test_a_missing_argument_is_noticed():
    assert list(lacking("HookPoint", {"add_hook": ["hook", "when"], "explode": []})) == [
        "HookPoint.add_hook(when)",
        "HookPoint.explode",
    ]


def test_weights_can_be_drawn_anew():
    fields = {"n_layers": 1, "d_model": 8, "n_ctx": 4, "d_head": 4, "d_vocab": 5, "act_fn": "relu", "seed": 3}
    model = unweave.HookedTransformer(unweave.HookedTransformerConfig.unwrap({**fields, "dtype": "float64"}))
    first = {name: weight.clone() for name, weight in model.state_dict().items()}
    model.requires_grad_(False)
    model.W_E.zero_()
    model.b_U[0] = 1.0
    model.init_weights()
    assert (first["embed.W_E"] == model.W_E).all()
    assert model.b_U[0] == 1.0
    assert model.n_params_total == sum(weight.numel() for weight in first.values())
