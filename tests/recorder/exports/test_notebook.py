"""The exported notebook: in order, and it runs."""

import json
import subprocess
import venv
from pathlib import Path

import nbformat
import numpy
import pytest
from nbclient import NotebookClient

from tests.recorder.exports.planted import Planted, example, journal_in, printed
from unweave.recorder.exports.notebook import notebook
from unweave.recorder.exports.obstacles import obstacles


def test_the_notebook_is_valid_and_in_order(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        made = notebook(example(journal), head="abc")
    nbformat.validate(nbformat.from_dict(made))
    texts = [cell["source"] for cell in made["cells"]]
    prediction = next(i for i, text in enumerate(texts) if "Prediction P1, 70%" in text)
    assert made["cells"][prediction]["cell_type"] == "markdown"
    assert texts[prediction + 1] == "root = math.sqrt(x)\nprint(root)"
    assert "Outcome of P1: yes" in texts[prediction + 2]
    assert made["metadata"]["unweave"]["journal_head"] == "abc"
    whole = json.dumps(made)
    assert "token_count" not in whole
    assert "private words" not in whole
    # Nothing of a title or a note is taken for markup.
    assert "# a \\\\<b\\\\>session" in whole
    assert "why \\\\*that\\\\*?" in whole


def test_it_runs_from_top_to_bottom_and_gives_what_was_recorded(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        made = notebook(example(journal))
    ran = NotebookClient(
        nbformat.from_dict(made), timeout=60, resources={"metadata": {"path": str(tmp_path)}}
    ).execute()
    recorded = [c["outputs"] for c in made["cells"] if c["cell_type"] == "code" and c["outputs"]]
    again = [c.outputs for c in ran.cells if c.cell_type == "code" and c.outputs and "PINS" not in c.source]
    assert [o["text"] for outputs in recorded for o in outputs if o["output_type"] == "stream"] == [
        o.text for outputs in again for o in outputs if o.output_type == "stream"
    ]
    assert any(o.output_type == "error" for outputs in again for o in outputs), (
        "the failed cell fails again, and is run past"
    )


def test_an_interrupted_cell_is_given_as_text(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        planted = Planted(journal)
        planted.step("while True:\n    s = '```'", status="interrupted")
        planted.log.stopped()
        made = notebook(planted.session())
        assert [one.sort for one in obstacles(planted.session())] == ["interrupted"]
    last = made["cells"][-1]
    assert last["cell_type"] == "markdown"
    assert "````python" in last["source"]


def test_what_prevents_a_run_is_named_cell_by_cell(tmp_path: Path):
    with journal_in(tmp_path) as journal:
        planted = Planted(journal)
        planted.log.private(planted.step("key = 1"))
        planted.step("print(key)")
        planted.step("print(never_made)")
        planted.step("open_with('[redacted HF_TOKEN]')\ndef open_with(x): ...")
        planted.step("name = input('who? ')")
        planted.step("!pip install thing")
        planted.step("key = 2")
        planted.step("print(key)")
        found = [(one.step, one.sort, one.stops) for one in obstacles(planted.session())]
    assert found == [
        (2, "private", True),
        (3, "undefined", True),
        (4, "undefined", True),
        (4, "secret", True),
        (5, "input", True),
        (6, "shell", False),
    ]


def test_the_obstacles_that_stop_do_stop(tmp_path: Path):
    """Each named one, alone in a notebook, fails when it is run; without the fault it does not."""
    for code, sort in (("print(key)", "private"), ("print(never_made)", "undefined")):
        folder = tmp_path / sort
        folder.mkdir()
        with journal_in(folder) as journal:
            planted = Planted(journal)
            planted.log.private(planted.step("key = 1"))
            planted.step(code)
            made = notebook(planted.session())
        assert sort in [one["sort"] for one in made["metadata"]["unweave"]["obstacles"]]
        code_cells = [c["source"] for c in made["cells"] if c["cell_type"] == "code"]
        with pytest.raises(NameError):
            exec("\n".join(code_cells[1:]), {})


def test_pins_and_seeds_come_first(tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    with journal_in(tmp_path) as journal:
        planted = Planted(journal, versions={"python": "3.11.2", "numpy": "0.0.1"})
        planted.step("import numpy\nprint(numpy.random.rand())", seeds={"torch_seed": 1234})
        first = next(c for c in notebook(planted.session())["cells"] if c["cell_type"] == "code")
    assert "'numpy': '0.0.1'" in first["source"]
    exec(first["source"], {})
    assert "pip install numpy==0.0.1" in capsys.readouterr().out
    drawn = numpy.random.rand()  # noqa: NPY002 — the global generator is what the cell seeds
    assert drawn == numpy.random.RandomState(1234).rand()


@pytest.mark.slow
def test_it_runs_in_a_fresh_environment(tmp_path: Path):
    """With the pins that the session was recorded with, and nothing else: seeded numbers come out again."""
    expected = numpy.random.RandomState(0).rand()
    with journal_in(tmp_path) as journal:
        planted = Planted(journal, versions={"numpy": numpy.__version__})
        planted.step("import numpy\nprint(numpy.random.rand())", printed(f"{expected}\n"))
        made = notebook(planted.session())
    (tmp_path / "session.ipynb").write_text(json.dumps(made))
    venv.create(tmp_path / "env", with_pip=True)
    python = tmp_path / "env" / "bin" / "python"
    pins = ["ipykernel", "nbclient", "nbformat", f"numpy=={numpy.__version__}"]
    subprocess.run([python, "-m", "pip", "install", "-q", *pins], check=True)
    run = (
        "import nbformat, nbclient, sys; n = nbformat.read('session.ipynb', 4); "
        "nbclient.NotebookClient(n, kernel_name='python3').execute(); "
        "print([o.text for c in n.cells if c.cell_type == 'code' for o in c.outputs])"
    )
    ran = subprocess.run([python, "-c", run], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == str([f"{expected}\n"])
