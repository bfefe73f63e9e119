"""Each rival of claims 5 and 6 is true of a model written by hand, and is found there."""

import pytest
import torch

from tests.experiments import planted
from unweave.experiments.no_position.claims.previous import recency_finds_previous
from unweave.experiments.no_position.claims.self_attention import self_is_a_by_product

QUERY, KEY = planted.grid()

TABLES = {
    "matching": (planted.matching(), "refuted"),
    "recency": (planted.recency(), "refuted"),
    "gain": (planted.gain(), "supported"),
    # A score by key that does not grow with its position is no recency.
    "none": (3.0 * torch.sin(KEY) + 0.0 * QUERY, "refuted"),
}


def test_the_planted_table_is_what_layer_1_computes():
    study = planted.study(planted.matching())
    pattern = study.cache["pattern", 1][0, 0]
    expected = planted.matching().masked_fill(KEY > QUERY, -torch.inf).softmax(-1)
    torch.testing.assert_close(pattern, expected)


@pytest.mark.parametrize("name", TABLES)
def test_claim_5_finds_the_rival_that_is_true(name):
    table, verdict = TABLES[name]
    tested = recency_finds_previous.tested(planted.study(table))
    assert tested["details"]["winner"] == name, tested["reason"]
    assert tested["verdict"] == verdict


def test_claim_5_finds_nothing_in_a_uniform_pattern():
    tested = recency_finds_previous.tested(planted.study(torch.zeros(planted.N_CTX, planted.N_CTX)))
    assert tested["details"]["winner"] == "none"
    assert "almost uniform" in tested["reason"]


def test_claim_5_sham_changes_nothing_and_shifts_do_what_the_weights_say():
    tested = recency_finds_previous.tested(planted.study(planted.matching(30.0)))
    measured = {row["name"]: row["value"] for row in tested["measured"] + tested["control"]}
    assert measured["attention moved, sham"] < 1e-5
    # A sharp matching head moves all of its attention when the query is told another position ...
    assert measured["attention moved, query told i-8"] == pytest.approx(1.0, abs=1e-4)
    # ... and none to a key that is told a position after the query.
    assert measured["attention moved, key i-8 told i+4"] == pytest.approx(0.0, abs=1e-4)
    copied = tested["details"]["copied_offsets"]
    # The nearest occurrence is meant: a nearer token is the same by chance once in d_vocab - 1.
    other = 1 - 1 / (planted.D_VOCAB - 1)
    assert copied["clean"]["1"] == pytest.approx(other, abs=0.02)
    assert copied["query told i-8"]["9"] == pytest.approx(other**9, abs=0.03)


SELF = {
    # (scores, copy, embed) and what is true of attention to self
    "raises": ((planted.recency(), 10.0, -6.0), "supported"),
    "raises, uncancelled": ((planted.recency(), 10.0, 0.0), "refuted"),
    "lowers": ((planted.recency(), -10.0, 6.0), "refuted"),
    "idle": ((planted.matching(30.0), 10.0, 0.0), "refuted"),
}


@pytest.mark.parametrize("name", SELF)
def test_claim_6_finds_the_rival_that_is_true(name):
    arguments, verdict = SELF[name]
    tested = self_is_a_by_product.tested(planted.study(*arguments))
    assert tested["details"]["found"] == name, tested["reason"]
    assert tested["verdict"] == verdict


def test_claim_6_direct_effect_is_attention_times_copy():
    copy = 10.0
    tested = self_is_a_by_product.tested(planted.study(planted.recency(), copy, -6.0))
    measured = {row["name"]: row["value"] for row in tested["measured"] + tested["control"]}
    # Far from the start, a slope of 1 gives self 1 - 1/e of the attention; absent tokens get none of it.
    to_self = 1.0 - torch.exp(torch.tensor(-1.0)).item()
    assert measured["direct effect on the current token's logit"] == pytest.approx(copy * to_self, rel=0.02)
    assert measured["direct effect on it, embed"] == pytest.approx(-6.0, rel=1e-4)
    one_back = measured["offset 1: direct effect on its own token's logit"]
    assert one_back == pytest.approx(copy * to_self / 2.71828, rel=0.02)
