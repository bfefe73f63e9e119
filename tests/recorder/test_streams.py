"""What is printed is gathered, and no secret passes, however it is cut."""

from __future__ import annotations

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from unweave.journal.redaction import Redactor
from unweave.recorder.streams import LARGE, StreamBuffer

PASSWORD = "planted-pass-word"
TOKEN = "hf_" + "aBcD" * 9
KEY = "-----BEGIN PRIVATE KEY-----\n" + "MIIEabcd\n" * 40 + "-----END PRIVATE KEY-----"


def written(parts: list[str], redactor: Redactor) -> str:
    """What goes to the disk of a stream that is written after each part."""
    buffer, seen = StreamBuffer(redactor), list[str]()
    for part in parts:
        buffer.add(part)
        seen.append(redactor.text(buffer.take()))
    seen.append(redactor.text(buffer.take(final=True)))
    return "".join(seen)


@given(st.lists(st.integers(0, 500), max_size=6), st.sampled_from([PASSWORD, TOKEN, KEY]))
def test_a_secret_that_is_cut_anywhere_does_not_pass(cuts: list[int], secret: str):
    redactor = Redactor({"A_PASSWORD": PASSWORD})
    text = f"before {secret} after\n"
    places = sorted({0, *(min(cut, len(text)) for cut in cuts), len(text)})
    found = written([text[a:b] for a, b in pairwise(places)], redactor)
    assert found.startswith("before [redacted ") and found.endswith("] after\n")
    assert secret not in found and "MIIE" not in found


def test_the_mistake_of_looking_at_each_part_alone_lets_one_pass():
    redactor = Redactor({"A_PASSWORD": PASSWORD})
    parts = [PASSWORD[:6], PASSWORD[6:]]
    assert "".join(map(redactor.text, parts)) == PASSWORD
    assert written(parts, redactor) == "[redacted A_PASSWORD]"


@given(st.lists(st.text(alphabet="ab \ngs-_", max_size=20), max_size=6))
def test_what_is_no_secret_is_all_written(parts: list[str]):
    assert written(parts, Redactor({})) == "".join(parts)


def test_a_key_that_is_longer_than_what_is_held_back_stays_out():
    redactor = Redactor({})
    body = "MIIEabcd\n" * 20_000
    parts = ["-----BEGIN PRIVATE KEY-----\n", body, body, "-----END PRIVATE", " KEY-----\nafter\n"]
    found = written(parts, redactor)
    assert "MIIE" not in found
    assert found.startswith("[redacted private key]") and found.endswith("after\n")


def test_a_progress_bar_is_written_less_often():
    bar, lines = StreamBuffer(Redactor({})), StreamBuffer(Redactor({}))
    for number in range(5):
        bar.add(f"\r{number}%")
        lines.add(f"{number}\n")
    assert bar.delay > lines.delay
    assert bar.take() == "\r4%"


def test_much_at_once_is_written_at_once():
    buffer = StreamBuffer(Redactor({}))
    assert buffer.add("x" * LARGE)
    assert buffer.large
    assert not buffer.add("more")
    buffer.take()
    assert not buffer.large


@pytest.mark.parametrize("secret", [PASSWORD, TOKEN])
def test_what_is_held_back_is_written_at_the_end(secret: str):
    buffer = StreamBuffer(Redactor({"A_PASSWORD": PASSWORD}))
    buffer.add(f"see {secret[:5]}")
    assert buffer.take() == "see "
    assert buffer.holds
    assert buffer.take(final=True) == secret[:5]
