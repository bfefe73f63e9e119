"""Write-up, JSON, review and import."""

import json
from pathlib import Path

import pytest

from tests.recorder.exports.planted import Planted, example, journal_in, printed
from unweave.core.errors import InputError
from unweave.journal import Evidence, Note, Prediction
from unweave.journal.sessions import sessions
from unweave.recorder.exports.ipynb import import_notebook
from unweave.recorder.exports.notebook import notebook
from unweave.recorder.exports.obstacles import obstacles
from unweave.recorder.exports.page import page
from unweave.recorder.exports.plain import plain
from unweave.recorder.exports.review import review
from unweave.recorder.exports.write_up import write_up


def test_the_write_up_has_what_was_claimed_first(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        text = write_up(example(journal), head="abc")
    lines = text.splitlines()
    assert "| P1 | the root is below 1.5 | 70% | yes |" in lines
    assert "- Hypothesis H1: the root is \\| irrational" in lines
    assert "  - Rival hypothesis H2: it is rational" in lines
    assert "- [ ] **Confusing**: why \\*that\\*?" in lines
    assert text.index("## Predictions") < text.index("## What was done")
    assert "private words" not in text
    assert "\x1b" not in text


def test_a_hypothesis_without_rivals_is_asked_about(tmp_path: Path):
    from unweave.journal import Hypothesis

    with journal_in(tmp_path) as journal:
        planted = Planted(journal)
        planted.say(Hypothesis("it is so"))
        assert "no rival was written down" in write_up(planted.session())


def test_json_holds_every_step_and_word_but_no_place(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        made = json.loads(json.dumps(plain(example(journal), head="abc"), allow_nan=False))
    assert [step["n"] for step in made["steps"]] == [1, 2, 3, 5, 6]
    assert made["left_out"] == {"private_steps": 1}
    kinds = [said["kind"] for said in made["said"]]
    assert kinds.count("prediction") == 1
    text = json.dumps(made)
    for gone in ("secret-host", "/data/somebody", "private words", "token_count"):
        assert gone not in text


def test_a_review_counts_what_would_be_published(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        planted = Planted(journal)
        planted.step("x = '[redacted HF_TOKEN]'", printed("mail me: somebody@example.org, on secret-host\n"))
        planted.log.private(planted.step("y = 1", printed("other@example.org\n")))
        found = review(planted.session())
    assert (found.cells, found.private, found.outputs) == (1, (2,), 1)
    assert found.redacted == {"HF_TOKEN": 1}
    assert {(p.where, p.what) for p in found.personal} == {
        ("output of cell 1", "e-mail address"),
        ("output of cell 1", "machine"),
    }
    assert [one.sort for one in found.obstacles] == ["secret"]


def test_a_notebook_comes_in_without_times_and_goes_out_the_same(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("MY_TOKEN", "hunter2-hunter2")
    with journal_in(tmp_path) as journal:
        made = notebook(example(journal))
        made["cells"].append(
            {
                "cell_type": "code",
                "source": ["t = 'hunter2", "-hunter2'"],
                "outputs": [],
                "execution_count": 9,
                "metadata": {},
                "id": "z",
            }
        )
        path = tmp_path / "old.ipynb"
        path.write_text(json.dumps(made))
        found = import_notebook(journal, path)
        assert (found.title, found.sort, found.state) == ("old", "import", "stopped")
        assert found.step_count == sum(c["cell_type"] == "code" for c in made["cells"])
        assert all(step.started is None and step.seconds is None for step in found.steps())
        assert found.steps()[-1].code == "t = '[redacted MY_TOKEN]'"
        recorded = [c["outputs"] for c in made["cells"] if c["cell_type"] == "code" and c["outputs"]]
        again = notebook(found)
        assert [c["outputs"] for c in again["cells"] if c["cell_type"] == "code" and c["outputs"]] == recorded
    assert b"hunter2" not in b"".join(p.read_bytes() for p in tmp_path.glob("journal.db*") if p.is_file())


@pytest.mark.parametrize("text", ["no json", "{}", '{"nbformat": 3, "cells": []}', "[1]"])
def test_what_is_no_notebook_is_refused_and_nothing_is_written(tmp_path: Path, text: str):
    path = tmp_path / "x.ipynb"
    path.write_text(text)
    with journal_in(tmp_path) as journal:
        with pytest.raises(InputError, match="nbformat 4"):
            import_notebook(journal, path)
        assert sessions(journal) == ()


def test_a_broken_cell_leaves_nothing_behind(tmp_path: Path):
    path = tmp_path / "x.ipynb"
    cells = [
        {
            "cell_type": "code",
            "source": "x = 1",
            "outputs": [{"output_type": "stream", "text": float("nan")}],
        },
        {"cell_type": "code", "source": "y", "outputs": 3},
    ]
    path.write_text(json.dumps({"nbformat": 4, "cells": cells}))
    with journal_in(tmp_path) as journal:
        with pytest.raises((InputError, TypeError)):
            import_notebook(journal, path)
        assert sessions(journal) == ()


def test_nothing_that_was_said_or_found_in_a_private_cell_leaves_the_journal(tmp_path: Path):
    """A sweep's evidence is about nothing and names its step; what the cell ran by itself is a step of its own."""
    with journal_in(tmp_path) as journal:
        planted = Planted(journal)
        planted.step("x = 1", said=[Note("a public note")])
        hidden = planted.step(
            "sweep()", said=[Note("SECRET note"), Evidence("SECRET sweep before its end", value=1.0)]
        )
        planted.step("SECRET_nested()", printed("SECRET output"), within=hidden)
        planted.say(Evidence("SECRET sweep", step=hidden))
        prediction = planted.say(Prediction("SECRET prediction", 0.5), about=None)
        planted.log.private(hidden)
        found = planted.session()
        texts = [page(found), json.dumps(plain(found)), json.dumps(notebook(found)), write_up(found)]
        assert all("a public note" in text for text in texts)
        # What was said after the cell is none of it.
        assert all("SECRET prediction" in text for text in texts)
        for text in texts:
            for gone in ("SECRET note", "SECRET sweep", "SECRET_nested", "SECRET output", "sweep()"):
                assert gone not in text, gone
        assert plain(found)["left_out"] == {"private_steps": 2}
        assert prediction


def test_evidence_without_a_sentence_is_told_by_its_source(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        planted = Planted(journal)
        planted.say(Evidence(source="sweep", metric="KL", value=0.25))
        assert "told by a sweep" in page(planted.session())
        assert "told by a sweep" in json.dumps(notebook(planted.session()))


def test_a_cell_that_still_runs_is_given_as_text_and_named(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        planted = Planted(journal)
        planted.step("y = slow()", status=None)
        planted.step("print(y)")
        found = [(one.step, one.sort) for one in obstacles(planted.session())]
    assert found == [(1, "undefined"), (1, "interrupted"), (2, "undefined")]
