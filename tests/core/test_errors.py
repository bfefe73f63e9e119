from __future__ import annotations

import pickle

import pytest

from unweave.core.errors import HookError, InputError, MissingActivation, nearest

SENTENCE = "wanted a whole number; got 2.5; round it"


@pytest.mark.parametrize("kind", [InputError, HookError, MissingActivation])
def test_the_sentence_says_what_was_wanted_what_came_and_the_remedy(kind: type[InputError]):
    error = kind(wanted="a whole number", got="2.5", remedy="round it")
    assert str(error) == SENTENCE
    assert (error.wanted, error.got, error.remedy) == ("a whole number", "2.5", "round it")
    assert isinstance(error, ValueError)


def test_a_missing_activation_is_a_key_error_too():
    with pytest.raises(KeyError, match=r"^wanted a; got b; c$"):
        raise MissingActivation(wanted="a", got="b", remedy="c")


def test_a_quoted_message_of_several_lines_becomes_one():
    error = InputError(wanted="JSON", got="line one\n   line two", remedy="write it again\n")
    assert str(error) == "wanted JSON; got line one line two; write it again"


@pytest.mark.parametrize("kind", [InputError, HookError, MissingActivation])
def test_an_error_comes_home_from_a_worker_process(kind: type[InputError]):
    error = pickle.loads(pickle.dumps(kind(wanted="a whole number", got="2.5", remedy="round it")))
    assert type(error) is kind
    assert str(error) == SENTENCE
    assert error.remedy == "round it"


def test_nearest_puts_the_closest_name_first():
    known = ["hook_embed", "blocks.0.attn.hook_pattern", "blocks.0.attn.hook_q"]
    assert nearest("blocks.0.attn.hook_patern", known).startswith("blocks.0.attn.hook_pattern")


def test_nearest_shows_some_names_where_none_is_close():
    assert nearest("zzzz", ["alpha", "beta", "gamma", "delta"]) == "alpha, beta, gamma"
    assert nearest("zzzz", []) == "(none)"


def test_nearest_gives_at_most_the_limit():
    assert nearest("hook_1", [f"hook_{i}" for i in range(9)], limit=2).count(",") == 1
