"""What is read before what."""

from pathlib import Path

from tests.recorder.exports.planted import Planted, example, journal_in, printed
from unweave.journal import Outcome, Prediction
from unweave.recorder.exports.passages import Cell, Words, passages, without_magics


def order(found) -> list[str]:
    return [p.entry.kind if isinstance(p, Words) else f"cell {p.step.n}" for p in found]


def test_a_prediction_made_within_a_cell_is_read_above_it_and_its_outcome_below(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        found = passages(example(journal))
    assert order(found) == [
        *(
            "cell 1",
            "hypothesis",
            "hypothesis",
            "prediction",
            "cell 2",
            "outcome",
            "cell 3",
            "cell 5",
            "surface",
            "note",
        )
    ]
    labels = [(p.label, p.about) for p in found if isinstance(p, Words)]
    assert labels[:4] == [("H1", ""), ("H2", "H1"), ("P1", ""), ("", "P1")]
    assert [p.code for p in found if isinstance(p, Cell)][1] == "root = math.sqrt(x)\nprint(root)"


def test_an_outcome_said_within_a_cell_is_read_below_it(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        planted = Planted(journal)
        made = planted.say(Prediction("it is 1", 0.5))
        begun = planted.log.step_started(n=1, code="print(1)\n%outcome yes", facts={})
        planted.say(Outcome("yes"), about=made)
        planted.log.step_ended(begun.id, status="ok")
        assert order(passages(planted.session())) == ["prediction", "cell 1", "outcome"]


def test_an_outcome_given_after_the_session_comes_at_the_end(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        planted = Planted(journal)
        made = planted.say(Prediction("it is 1", 0.5))
        planted.step("print(1)", printed("1\n"))
        journal.add(Outcome("no"), about=made)
        assert order(passages(planted.session())) == ["prediction", "cell 1", "outcome"]


def test_private_cells_are_read_only_when_asked_for(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        found = example(journal)
        assert "cell 4" not in order(passages(found))
        assert "cell 4" in order(passages(found, private=True))


def test_only_magics_of_the_journal_are_taken_out():
    code = '%why "norms"\n%matplotlib inline\nx = 1 % 2\n  %note inside\n%timeit x'
    assert without_magics(code) == "%matplotlib inline\nx = 1 % 2\n%timeit x"
