from __future__ import annotations

import hashlib

import torch

from unweave.core.seeds import derive, generator


def test_the_seed_is_the_hash_of_its_names():
    # Written out once more, since saved results rest on these very numbers.
    digest = hashlib.sha256(b"7\x1ftrain\x1f3").digest()
    assert derive(7, "train", 3) == int.from_bytes(digest[:8], "big") // 2


def test_every_part_counts():
    seeds = [
        derive(0),
        derive(1),
        derive(0, "train"),
        derive(0, "eval"),
        derive(0, "train", 1),
        derive(0, "train", 2),
        derive(0, "train", "1", "2"),
        derive(0, "train", "12"),
        derive(0, "12", "train"),
    ]
    assert len(set(seeds)) == len(seeds)
    assert all(0 <= seed < 2**63 for seed in seeds)


def test_streams_of_different_names_differ_and_of_equal_names_agree():
    def draw(*names: str) -> list[float]:
        return torch.rand(8, generator=generator(5, *names)).tolist()

    assert draw("a") == draw("a")
    assert not set(draw("a")) & set(draw("b"))


def test_the_global_random_state_is_left_alone():
    before = torch.random.get_rng_state()
    torch.rand(100, generator=generator(0, "anything"))
    assert torch.equal(torch.random.get_rng_state(), before)


def test_drawing_elsewhere_does_not_shift_a_stream():
    undisturbed = torch.rand(4, generator=generator(0, "a"))
    torch.rand(17)
    torch.rand(17, generator=generator(0, "b"))
    assert torch.equal(torch.rand(4, generator=generator(0, "a")), undisturbed)
