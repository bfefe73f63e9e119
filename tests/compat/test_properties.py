"""What holds of every config holds of the door's model too: the model's property tests, run on it."""

from __future__ import annotations

import pytest

from tests.model import small, test_properties
from unweave.compat import transformer_lens

PROPERTIES = [name for name in vars(test_properties) if name.startswith("test_")]
IGNORED = "ignore:.*it has no effect:unweave.compat.warned.CompatWarning"


@pytest.mark.filterwarnings(IGNORED)
@pytest.mark.parametrize(
    "name",
    [
        name if name == "test_it_is_the_reference" else pytest.param(name, marks=pytest.mark.slow)
        for name in PROPERTIES
    ],
)
def test_the_property_holds_through_the_door(name: str, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr(small, "HookedTransformer", transformer_lens.HookedTransformer)
    monkeypatch.setattr(small, "HookedTransformerConfig", transformer_lens.HookedTransformerConfig)
    assert type(small.small_model()) is transformer_lens.HookedTransformer
    getattr(test_properties, name)()


def test_there_are_properties():
    assert len(PROPERTIES) >= 5
