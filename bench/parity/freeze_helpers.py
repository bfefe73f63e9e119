"""What TransformerLens' helpers give, frozen for the tests: run by the Python of TransformerLens' environment.

    PYTHONPATH=. TL_PYTHON -m bench.parity.freeze_helpers tests/compat/transformer_lens.json

The calls are those of bench/parity/helper_calls.py.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import warnings
from pathlib import Path
from typing import Any

import transformer_lens
from datasets import Dataset
from transformers import AutoTokenizer

from bench.parity.helper_calls import answers, helper_calls
from tests.model.text.builders import write_folder


def main(path: str) -> None:
    """Write every call's answer into one file."""
    os.environ["COLUMNS"] = "1000"  # else `rich` breaks lines
    warnings.simplefilter("ignore")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)

        def tokenizer(kind: str) -> Any:
            return AutoTokenizer.from_pretrained(write_folder(kind, folder / kind))

        found = answers(helper_calls(transformer_lens, tokenizer, Dataset.from_dict, folder))
    # One line a call, so that a change can be read.
    lines = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in found.items()]
    Path(path).write_text("{\n" + ",\n".join(lines) + "\n}\n", encoding="utf-8")
    raised = {
        name: value["raised"]
        for name, value in found.items()
        if isinstance(value, dict) and "raised" in value
    }
    print(f"{len(found)} calls, {Path(path).stat().st_size} bytes; raised: {raised}", file=sys.stderr)


if __name__ == "__main__":
    main(sys.argv[1])
