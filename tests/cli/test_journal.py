"""`unweave journal` from command to exit code."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from tests.journal.test_verify import behind_its_back
from unweave.cli.main import main
from unweave.journal import Journal, Note


@pytest.fixture(autouse=True)
def _narrow(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setenv("UNWEAVE_JOURNAL", str(tmp_path / "journal.db"))


@pytest.fixture
def say(capsys: pytest.CaptureFixture[str]):
    def run(*arguments: str, code: int = 0) -> str:
        assert main(["journal", *arguments]) == code
        told = capsys.readouterr()
        return told.out if code != 2 else told.err

    return run


def filled(say) -> None:
    say("add", "question", "how?", "--create")
    say("add", "hypothesis", "it counts", "--about", "1")
    say("add", "rival", "it copies", "--about", "2")
    say("add", "prediction", "loss rises", "-p", "80%", "--about", "2")
    say("add", "outcome", "it fell", "--result", "no", "--about", "4")
    say("add", "idea", "look at head 3")


def test_nothing_is_made_by_chance(say, tmp_path: Path):
    assert "wanted a journal; got" in say("verify", code=2)
    assert "--create" in say("add", "idea", "x", code=2)
    assert not (tmp_path / "journal.db").exists()


def test_the_daily_minimum(say):
    filled(say)
    listed = say("list")
    assert "80%: loss rises" in listed
    assert "idea: look at head 3" in listed
    assert max(map(len, listed.splitlines())) <= 80
    assert "look at head 3" in say("search", "head", "look")
    assert say("search", "head look").strip() == "nothing found"  # in that order it does not stand there
    assert [entry["kind"] for entry in json.loads(say("list", "--json", "--kind", "outcome"))] == ["outcome"]


def test_reckonings(say):
    filled(say)
    assert "Brier score 0.640 over 1 predictions" in say("calibration")  # (0.8 - 0)²
    assert json.loads(say("calibration", "--json"))["brier"] == pytest.approx(0.64)
    assert "how?" in say("ledger")
    assert json.loads(say("ledger", "--json"))["loose"]
    say("add", "verdict", "x", "--result", "supported", "--about", "2")
    assert "0 questions to 7 entries" in say("audit")
    assert json.loads(say("audit", "--json")) == {"advice": [], "looked_at": 7, "exploratory": 0}


def test_verify_prints_the_head_and_what_is_proved(say, tmp_path: Path):
    filled(say)
    told = say("verify")
    with Journal.open(tmp_path / "journal.db") as journal:
        head = str(journal.head)
        journal.add(Note("later"))
    assert f"head     {head}\n" in told
    assert "unchanged: 6 entries, 0 anchors" in told
    assert "Not proved" in told
    assert "Entries 1 to 6 are the ones" in say("verify", "--against", head)
    kept = tmp_path / "kept.txt"
    kept.write_text(told)
    assert json.loads(say("verify", "--json", "--against", str(kept)))["anchors"][0]["head"] == head
    behind_its_back(tmp_path / "journal.db", 'UPDATE bodies SET body = \'{"text":"other"}\' WHERE seq = 3')
    assert "the body of entry 3 (hypothesis) was changed" in say("verify", code=1)
    assert json.loads(say("verify", "--json", code=1))["ok"] is False


def test_purge_from_a_terminal(say):
    filled(say)
    assert "wanted a reason" in say("purge", "6", code=2)
    assert "purged 1 entries and 0 blobs" in say("purge", "6", "--reason", "personal")
    assert "(purged)" in say("list", "--kind", "surface")
    assert "cleaned" in say("purge", "--finish")


def test_comments_and_adoption(say, tmp_path: Path):
    filled(say)
    file = tmp_path / "comments.json"
    file.write_text('[{"text": "it is noise", "person": "Ada"}]')
    assert "1 comments written" in say("comments", str(file))
    assert json.loads(say("adopt", "7", "--rival-of", "2", "--json"))["body"]["credit"] == "Ada"


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["prediction", "x", "-p", "130%"], "wanted a probability from 0% to 100%; got 130%"),
        (["outcome", "--result", "yes"], "wanted an outcome's about to name a prediction; got none"),
        (["outcome", "--about", "1"], "wanted some text for the result of an outcome; got ''"),
        (["idae", "x"], "got 'idae'; near it: idea"),
        (["idea", "x", "--seen", "y"], "wanted no such option for idea; got --seen; leave it out"),
        (["comment", "x", "--result", "yes"], "got --result; it has --at, --person"),
        (["idea", "x", "--about", "99"], "which none has"),
    ],
)
def test_bad_input_is_one_clear_line(say, arguments: list[str], said: str):
    say("add", "question", "how?", "--create")
    told = say("add", *arguments, code=2)
    assert said in told
    assert told.count("\n") == 1


def test_a_bare_command_is_answered_with_its_help(capsys: pytest.CaptureFixture[str]):
    assert main(["journal"]) == 2
    told = capsys.readouterr()
    assert "calibration" in told.out
    assert told.err == ""


def test_a_rival_competes_with_something(say):
    filled(say)
    assert "the hypothesis that the rival competes with" in say("add", "rival", "it guesses", code=2)
    assert "it guesses" not in say("list")
