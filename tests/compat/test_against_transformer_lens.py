"""What `bench/parity/freeze_helpers.py` froze of TransformerLens 3.9.0, asked of what stands in its place."""

from __future__ import annotations

import json
import warnings
from typing import Any

import numpy as np
import pytest
from transformers import AutoTokenizer

import unweave.compat.transformer_lens as transformer_lens
from bench.parity.helper_calls import answers, helper_calls
from tests.compat.datasets import ColumnDataset
from tests.model.text.builders import write_folder
from tests.repository import ROOT

FROZEN: dict[str, Any] = json.loads((ROOT / "tests/compat/transformer_lens.json").read_text(encoding="utf-8"))

# Where we know better than 3.9, and why; each must differ, or be struck from here.
DIFFERENT = {
    "make_model_alias_map": "families that are not here; test_native.py compares the names of both",
    "IOIDataset of the model's tokenizer": "there the tokenizer adds BOS, and the dataset a second one",
}


@pytest.fixture(scope="module")
def ours(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    folder = tmp_path_factory.mktemp("helpers")

    def tokenizer(kind: str) -> Any:
        return AutoTokenizer.from_pretrained(write_folder(kind, folder / kind))

    with pytest.MonkeyPatch.context() as patch, warnings.catch_warnings():
        patch.setenv("COLUMNS", "1000")
        warnings.simplefilter("ignore")
        return answers(helper_calls(transformer_lens, tokenizer, ColumnDataset, folder))


@pytest.mark.parametrize("name", FROZEN)
def test_a_call_gives_what_it_gives_there(name: str, ours: dict[str, Any]):
    agree = same(ours[name], FROZEN[name])
    if name in DIFFERENT:
        assert not agree, f"{name} is as in 3.9 after all: strike it from DIFFERENT"
    else:
        assert agree, f"ours {ours[name]}, theirs {FROZEN[name]}"


def test_the_calls_are_those_that_were_frozen(ours: dict[str, Any]):
    assert list(ours) == list(FROZEN)


def same(a: Any, b: Any) -> bool:
    """Equal; of numbers up to 1e-5 of the largest. An error is ours where theirs was one."""
    if isinstance(b, dict) and set(b) == {"raised"}:
        # What no annotation allows is stopped before it comes to our error, in the tests.
        return a in ({"raised": "InputError"}, {"raised": "TypeCheckError"})
    if isinstance(b, dict):
        return isinstance(a, dict) and a.keys() == b.keys() and all(same(a[key], b[key]) for key in b)
    try:
        x, y = np.array(a, dtype=float), np.array(b, dtype=float)
    except (ValueError, TypeError):
        both = isinstance(a, list) and isinstance(b, list) and len(a) == len(b)
        return all(map(same, a, b)) if both else a == b
    if x.shape != y.shape:
        return False
    if not np.array_equal(np.isnan(x), np.isnan(y)):
        return False
    x, y = np.nan_to_num(x), np.nan_to_num(y)
    return bool(np.abs(x - y).max(initial=0) <= 1e-5 * np.abs(y).max(initial=0))
