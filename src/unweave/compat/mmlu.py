"""MMLU: multiple-choice questions on 57 subjects (Hendrycks et al., 2021, arXiv:2009.03300)."""

from __future__ import annotations

from typing import Any

import torch
from tqdm.auto import tqdm

from unweave.compat.packages import load_dataset
from unweave.core.errors import InputError, nearest

MMLU_ANSWER_LETTERS = ["A", "B", "C", "D"]
# As the dataset names them.
MMLU_SUBJECTS = """
    abstract_algebra anatomy astronomy business_ethics clinical_knowledge college_biology
    college_chemistry college_computer_science college_mathematics college_medicine college_physics
    computer_security conceptual_physics econometrics electrical_engineering elementary_mathematics
    formal_logic global_facts high_school_biology high_school_chemistry high_school_computer_science
    high_school_european_history high_school_geography high_school_government_and_politics
    high_school_macroeconomics high_school_mathematics high_school_microeconomics high_school_physics
    high_school_psychology high_school_statistics high_school_us_history high_school_world_history
    human_aging human_sexuality international_law jurisprudence logical_fallacies machine_learning
    management marketing medical_genetics miscellaneous moral_disputes moral_scenarios nutrition
    philosophy prehistory professional_accounting professional_law professional_medicine
    professional_psychology public_relations security_studies sociology us_foreign_policy virology
    world_religions
""".split()  # noqa: SIM905 - a list of 57 lines reads worse


def make_mmlu_data_loader(
    subjects: str | list[str] | None = None, split: str = "test", num_samples: int | None = None
) -> list[dict[str, Any]]:
    """Questions from the hub, by `datasets`: each a dict of "question", "choices", "answer" (0 to 3) and "subject".

    Args:
        subjects: of `MMLU_SUBJECTS`; None is all.
        split: "test", "validation" or "dev".
        num_samples: so many of each subject; None is all.

    Raises:
        InputError: for another subject, or if `datasets` isn't installed. A subject that can't be
            had raises what `datasets` raises; 3.9 leaves it out.
    """
    wanted = (
        MMLU_SUBJECTS if subjects is None else [subjects] if isinstance(subjects, str) else list(subjects)
    )
    for subject in wanted:
        if subject not in MMLU_SUBJECTS:
            raise InputError(
                wanted="a subject of MMLU",
                got=repr(subject),
                remedy=f"nearest: {nearest(subject, MMLU_SUBJECTS)}",
            )
    found: list[dict[str, Any]] = []
    for subject in wanted:
        rows = load_dataset("cais/mmlu", subject, split=split)
        count = len(rows) if num_samples is None else min(num_samples, len(rows))
        for row in (rows[index] for index in range(count)):
            found.append(
                {name: row[name] for name in ("question", "choices", "answer")} | {"subject": subject}
            )
    return found


@torch.inference_mode()
def mmlu_eval(
    model: Any,
    tokenizer: Any = None,
    subjects: str | list[str] | None = None,
    split: str = "test",
    num_samples: int | None = None,
) -> dict[str, Any]:
    """How often the letter of the right answer has the largest logit of the four after "Answer:", without examples.

    Returns:
        "accuracy", "num_correct", "num_total", and "subject_scores", the accuracy by subject.

    Raises:
        InputError: as `make_mmlu_data_loader`; and if there are no questions.
    """
    tokenizer = model.tokenizer if tokenizer is None else tokenizer
    questions = make_mmlu_data_loader(subjects, split, num_samples)
    if not questions:
        raise InputError(wanted="at least one question", got="none", remedy="check subjects and num_samples")
    letters = [_letter_token(tokenizer, letter) for letter in MMLU_ANSWER_LETTERS]
    right: dict[str, list[bool]] = {}
    for question in tqdm(questions, desc="MMLU", disable=None):
        tokens = tokenizer.encode(_prompt(question), return_tensors="pt").to(model.W_E.device)
        logits = model(tokens, return_type="logits")[0, -1, letters[: len(question["choices"])]]
        right.setdefault(question["subject"], []).append(int(logits.argmax()) == question["answer"])
    correct = sum(map(sum, right.values()))
    return {
        "accuracy": correct / len(questions),
        "num_correct": correct,
        "num_total": len(questions),
        "subject_scores": {subject: sum(marks) / len(marks) for subject, marks in right.items()},
    }


def _prompt(question: dict[str, Any]) -> str:
    choices = zip(MMLU_ANSWER_LETTERS, question["choices"], strict=False)
    listed = "".join(f"{letter}. {text}\n" for letter, text in choices)
    return f"Question: {question['question']}\nChoices:\n{listed}Answer:"


def _letter_token(tokenizer: Any, letter: str) -> int:
    """The token of a letter behind a space, if that is one token; else of the letter alone."""
    spaced = tokenizer.encode(f" {letter}", add_special_tokens=False)
    return spaced[0] if len(spaced) == 1 else tokenizer.encode(letter, add_special_tokens=False)[0]
