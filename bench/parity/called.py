"""The calls of calls.py made on both libraries, on a model and on what processing its weights gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from safetensors.torch import load_file, save_file
from torch import Tensor

from bench.parity.call_differences import APART, find
from bench.parity.calls import CALLS, Given, answers, on_model
from bench.parity.compare import Finding, finding, our_model
from bench.parity.differences import Tensors
from bench.parity.factored_calls import factored_calls
from bench.parity.grid import Case
from bench.parity.weights import padding_mask, random_tokens, random_weights
from bench.peers.channel import Worker
from unweave.core.errors import InputError
from unweave.core.factored_matrix import FactoredMatrix
from unweave.model.transformer import HookedTransformer
from unweave.model.weights import process_weights

STEPS = (
    "fold_ln",
    "center_writing_weights",
    "center_unembed",
    "fold_value_biases",
    "refactor_factored_attn_matrices",
)
# What the model that calls are made on again went through: each of these that is valid for it.
TOGETHER = STEPS[:4]


def given_to_both(case: Case, door: bool = False) -> tuple[HookedTransformer, Tensors]:
    """Our model of a case with random weights, and the file's content: weights, tokens, attention mask."""
    model = our_model(case.config, door)
    weights = random_weights(model.state_dict())
    model.load_state_dict(weights)
    tensors = {**weights, "tokens": random_tokens(case.config)}
    if case.padding:
        tensors["attention_mask"] = padding_mask(case.padding)
    return model.eval(), tensors


def run_calls(case: Case, worker: Worker, folder: Path, door: bool = False) -> list[Finding]:
    """Every call of one case on both, and each of its tensors compared.

    Raises:
        NotYet: if our config refuses the case.
        RuntimeError: if the peer cannot run it.
    """
    model, tensors = given_to_both(case, door)
    inputs, outputs = folder / "inputs.safetensors", folder / "outputs.safetensors"
    save_file(tensors, inputs)
    flags, processed, refused = our_processed(model, case.config)
    reply = worker.ask(
        question="calls",
        config=case.config,
        inputs=str(inputs),
        outputs=str(outputs),
        names=list(CALLS),
        processings=flags,
        then="together",
        after=list(CALLS),
    )
    if "error" in reply:
        raise RuntimeError(f"{case.name}: {reply['error']}")
    arguments = {name: tensors[name] for name in ("attention_mask",) if name in tensors}
    given = Given(model, tensors["tokens"], arguments)
    ours, raised = answers(on_model(given, CALLS))
    for name, new in processed.items():
        ours |= {f"processed, {name} | {key}": value for key, value in new.state_dict().items()}
    after = Given(processed["together"], tensors["tokens"], arguments)
    again, also = answers(on_model(after, CALLS))
    ours |= {f"processed: {name}": value for name, value in again.items()}
    raised |= {f"processed: {name}": words for name, words in also.items()}
    refusals = [Finding(f"processed, {name}", "refused", reason=words) for name, words in refused.items()]
    return refusals + compared(case.config, tensors, (ours, raised), (load_file(outputs), reply["raised"]))


def our_processed(
    model: HookedTransformer, config: dict[str, Any]
) -> tuple[dict[str, dict[str, bool]], dict[str, HookedTransformer], dict[str, str]]:
    """Flags for each step alone and all together, our models after them, and the words of what is refused."""
    flags, processed, refused = {}, {}, {}
    for step in STEPS:
        try:
            processed[step] = process_weights(model, **_only(step))
            flags[step] = _only(step)
        except InputError as error:
            refused[step] = str(error)
    apart = {step for step, where in APART if where(config)}
    together = _only(*(step for step in TOGETHER if step in processed and step not in apart))
    return (
        {**flags, "together": together},
        {**processed, "together": process_weights(model, **together)},
        refused,
    )


def run_factored(worker: Worker, folder: Path) -> list[Finding]:
    """The methods of factored matrices."""
    outputs = folder / "outputs.safetensors"
    reply = worker.ask(question="factored", outputs=str(outputs))
    if "error" in reply:
        raise RuntimeError(f"factored matrices: {reply['error']}")
    ours = answers(factored_calls(FactoredMatrix))
    return compared({}, {}, ours, (load_file(outputs), reply["raised"]))


def compared(
    config: dict[str, Any],
    weights: Tensors,
    ours: tuple[Tensors, dict[str, str]],
    theirs: tuple[Tensors, dict[str, str]],
) -> list[Finding]:
    """One finding for each tensor that either has, and for each call that either refuses."""
    (our_values, our_words), (their_values, their_words) = ours, theirs
    found: list[Finding] = []
    for name in sorted(our_values.keys() | their_values.keys()):
        if name in our_values and name in their_values:
            found.append(_value(name, our_values[name], their_values[name], weights, config))
        elif name.partition(" | ")[0] not in our_words | their_words:
            entry = None if name in our_values else find(name, "we refuse", config)
            found.append(
                Finding(name, "differs", reason="one of us has no such tensor")
                if entry is None
                else Finding(name, "known difference", reason=entry.reason)
            )
    for name in sorted(our_words.keys() | their_words.keys()):
        found.append(_raised(name, our_words.get(name), their_words.get(name), config))
    return found


def _value(name: str, ours: Tensor, theirs: Tensor, weights: Tensors, config: dict[str, Any]) -> Finding:
    plain, entry = finding(name, ours, theirs), find(name, "another value", config)
    if entry is None:
        return plain
    if plain.verdict == "equal":
        return Finding(name, "differs", reason="now equal: take it from the table") if entry.always else plain
    if entry.ours is None:
        return Finding(name, "known difference", reason=entry.reason)
    derived = finding(name, ours, entry.ours(theirs, ours, weights, name))
    if derived.error > entry.tolerance:
        return derived
    return Finding(name, "known difference", derived.error, entry.reason)


def _raised(name: str, ours: str | None, theirs: str | None, config: dict[str, Any]) -> Finding:
    if ours and theirs:
        return Finding(name, "refused", reason=f"by both; we: {ours}")
    entry = find(name, "we refuse" if ours else "the peer raises", config)
    who = f"we refuse: {ours}" if ours else f"the peer raises: {theirs}"
    if entry is None:
        return Finding(name, "differs", reason=who)
    return Finding(name, "known difference", reason=entry.reason)


def _only(*names: str) -> dict[str, bool]:
    return {step: step in names for step in STEPS}
