from __future__ import annotations

import pytest
import torch

from tests.core.unchecked import as_users_run
from tests.model.small import small_model
from unweave.core.errors import MissingActivation
from unweave.model.cache import ActivationCache

NAMES = [
    "hook_embed",
    "blocks.0.attn.hook_pattern",
    "blocks.0.ln2.hook_scale",
    "blocks.1.attn.hook_pattern",
    "blocks.1.hook_resid_post",
    "ln_final.hook_scale",
]


@pytest.fixture
def cache() -> ActivationCache:
    return ActivationCache({name: torch.tensor(float(i)) for i, name in enumerate(NAMES)}, small_model())


@pytest.mark.parametrize(
    ("key", "value"),
    [
        ("hook_embed", 0),
        ("embed", 0),
        ("blocks.0.attn.hook_pattern", 1),
        (("pattern", 0), 1),
        (("attn", 0), 1),
        (("pattern", 0, "attn"), 1),
        ("pattern0", 1),
        (("scale", 0, "ln2"), 2),
        (("pattern", 1), 3),
        (("pattern", -1), 3),
        (("pattern", -2), 1),
        (("resid_post", -1), 4),
        ("scale", 5),
        ("ln_final.hook_scale", 5),
    ],
)
def test_full_names_and_shorthands(cache: ActivationCache, key: object, value: int):
    assert cache[key].item() == value
    assert key in cache


@pytest.mark.parametrize(
    ("key", "sentence"),
    [
        (("pattern", 2), "wanted an activation that this run cached; got ('pattern', 2); nearest: blocks."),
        (("pattern", -3), "wanted an activation that this run cached; got ('pattern', -3); nearest: blocks."),
        ("hook_embde", "wanted an activation that this run cached; got 'hook_embde'; nearest: hook_embed"),
        (("patern", 0), "wanted the name of a site; got 'patern'; nearest: pattern"),
        ("pattern", "wanted a layer for the site 'pattern'; got none; write (\"pattern\", 0)"),
        (("scale", 0), "wanted 'ln1' or 'ln2' or 'ln1_post' or 'ln2_post' for the site 'scale'; got none;"),
    ],
)
def test_what_is_not_there_is_told_with_the_nearest(cache: ActivationCache, key: object, sentence: str):
    with pytest.raises(MissingActivation) as raised:
        _ = cache[key]
    assert str(raised.value).startswith(sentence)
    assert key not in cache
    assert cache.get(key) is None


@pytest.mark.parametrize("key", [0, ("pattern",), ("pattern", 0, None, 1), None])
def test_what_is_no_key_at_all_is_told(cache: ActivationCache, key: object):
    with as_users_run(), pytest.raises(MissingActivation) as raised:
        _ = cache[key]
    assert str(raised.value).startswith(f"wanted a hook name, or (site, layer); got {key!r}; write")


def test_it_is_a_mapping_in_the_order_of_the_run(cache: ActivationCache):
    assert list(cache) == NAMES
    assert len(cache) == 6
    assert [value.item() for value in cache.values()] == [0, 1, 2, 3, 4, 5]


def test_it_is_read_only(cache: ActivationCache):
    with pytest.raises(TypeError):
        cache["hook_embed"] = torch.tensor(9.0)


def test_it_says_what_it_holds(cache: ActivationCache):
    assert repr(cache).startswith(
        "ActivationCache with 6 activations: hook_embed, blocks.0.attn.hook_pattern,"
    )
