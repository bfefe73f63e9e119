"""Short names and training checkpoints."""

from __future__ import annotations

import pytest

from unweave.core.errors import InputError
from unweave.pretrained.names import checkpoint_revision, checkpoint_steps, hub_id


@pytest.mark.parametrize(
    ("short", "full"),
    [
        ("gpt2-small", "gpt2"),
        ("gpt2", "gpt2"),
        ("pythia-70m", "EleutherAI/pythia-70m"),
        ("Pythia-1.4B-deduped-v0", "EleutherAI/pythia-1.4b-deduped-v0"),
        ("gpt-j-6B", "EleutherAI/gpt-j-6B"),
        ("stanford-gpt2-small-a", "stanford-crfm/alias-gpt2-small-x21"),
        ("tiny-stories-33M", "roneneldan/TinyStories-33M"),
        ("gemma-2-2b", "google/gemma-2-2b"),
        ("someone/else", "someone/else"),
    ],
)
def test_short_names(short: str, full: str):
    assert hub_id(short) == full


def test_checkpoints_of_training():
    """Pythia's paper: steps 0, 1, 2, 4, ... 512, then every 1,000 up to 143,000: 154 in all."""
    steps, _ = checkpoint_steps("EleutherAI/pythia-70m")
    assert len(steps) == 154
    assert checkpoint_revision("EleutherAI/pythia-70m", None, 512) == "step512"
    assert checkpoint_revision("EleutherAI/pythia-70m", 0, None) == "step0"
    assert checkpoint_revision("EleutherAI/pythia-70m", -1, None) == "step143000"
    assert checkpoint_revision("EleutherAI/pythia-70m-v0", 0, None) == "step1000"
    assert checkpoint_revision("stanford-crfm/alias-gpt2-small-x21", None, 400000) == "checkpoint-400000"


def test_checkpoints_that_there_are_not():
    with pytest.raises(InputError, match="got checkpoint_value=513; nearest: 128, 256, 512"):
        checkpoint_revision("EleutherAI/pythia-70m", None, 513)
    with pytest.raises(InputError, match="checkpoint_index from 0 to 153"):
        checkpoint_revision("EleutherAI/pythia-70m", 154, None)
    with pytest.raises(InputError, match="name the branch in revision="):
        checkpoint_revision("gpt2", 0, None)
