"""An existing notebook as a session without times."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError
from unweave.journal import Journal, Note
from unweave.journal.redaction import Redactor
from unweave.journal.session_log import SessionLog
from unweave.journal.sessions import Session, session


def import_notebook(journal: Journal, path: Path, title: str = "") -> Session:
    """Write the cells of an .ipynb file into the journal, as a session of the sort "import".

    Code cells become steps in the order of the file, with their outputs, and without times: nobody knows when they ran, or
    in which order. Cells of text become notes. Secrets are taken out before anything is written. All of it is
    written, or nothing.

    Raises:
        InputError: if it is no notebook that can be read.
        JournalError: if the journal can't be written.
    """
    cells = _cells(path)
    redactor = Redactor()
    name = redactor.text(title or path.stem)
    with journal.transaction():
        log = SessionLog.begin(journal, title=name, sort="import", facts={"file": path.name, "at": None})
        n = 0
        for cell in cells:
            source = _text(cell.get("source", ""))
            if cell.get("cell_type") == "code" and source.strip():
                n += 1
                _import_step(log, n, cell, source, redactor)
            elif cell.get("cell_type") == "markdown" and source.strip():
                journal.add(Note(redactor.text(source)), session=log.id)
        log.stopped()
    return session(journal, log.id)


def _import_step(log: SessionLog, n: int, cell: Mapping[str, Any], source: str, redactor: Redactor) -> None:
    count = cell.get("execution_count")
    facts = {
        "at": None,
        "execution_count": count if isinstance(count, int) else None,
        "cell_id": cell.get("id"),
    }
    redactor.learn_from(source)
    step = log.step_started(n=n, code=redactor.text(source), facts=facts)
    status = "ok"
    for number, output in enumerate(cell.get("outputs", []), 1):
        status = "error" if output.get("output_type") == "error" else status
        sort, data, more = _output(output)
        log.output(
            step.id,
            n=number,
            sort=sort,
            data=redactor.value(data),
            facts={"at": None, **redactor.value(more)},
        )
    log.step_ended(step.id, status=status, facts={"at": None})


def _output(output: Mapping[str, Any]) -> tuple[str, dict[str, Any], dict[str, Any]]:
    match output.get("output_type"):
        case "stream":
            return (
                "stream",
                {"text/plain": _text(output.get("text", ""))},
                {"name": output.get("name", "stdout")},
            )
        case "error":
            trace = [_text(line) for line in output.get("traceback", [])]
            error = {"name": output.get("ename", ""), "value": output.get("evalue", ""), "traceback": trace}
            return "error", {}, {"error": error}
        case kind:
            data = {
                m: _text(v) if isinstance(v, list) and _is_text(m) else v
                for m, v in output.get("data", {}).items()
            }
            more = {"metadata": output.get("metadata", {})}
            if kind == "execute_result":
                return "result", data, {**more, "execution_count": output.get("execution_count")}
            return "display", data, more


def _cells(path: Path) -> list[Mapping[str, Any]]:
    try:
        notebook = json.loads(path.read_text(encoding="utf-8"))
        if notebook["nbformat"] == 4:
            return [cell for cell in notebook["cells"] if isinstance(cell, dict)]
        got = f"version {notebook['nbformat']} of the format"
    except OSError as error:
        got = f"{path}: {error.strerror}"
    except (ValueError, KeyError, TypeError):
        got = f"{path}, which is none"
    raise InputError(
        wanted="a Jupyter notebook of nbformat 4",
        got=got,
        remedy="name an .ipynb file; `jupyter nbconvert --to notebook` brings old ones up to date",
    )


def _text(value: Any) -> str:
    return "".join(map(str, value)) if isinstance(value, list) else str(value)


def _is_text(mime: str) -> bool:
    return not mime.endswith("json") and "+json" not in mime
