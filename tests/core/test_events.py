"""Those who listen hear what was done; those who tell need not know."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest

import unweave
from unweave.core import events
from unweave.core.events import Event, emit, listen, listening, unlisten
from unweave.recorder.evidence import evidence
from unweave.tasks import PreviousToken
from unweave.training import TrainConfig, train


def test_listeners_hear_in_order_until_they_stop():
    heard = list[str]()
    with listening(lambda event: heard.append(f"first {event.kind}")):
        second = lambda event: heard.append(f"second {event.facts['n']}")  # noqa: E731
        listen(second)
        emit("sweep", lambda: {"n": 1})
        unlisten(second)
        emit("sweep", lambda: {"n": 2})
    emit("sweep", lambda: {"n": 3})
    assert heard == ["first sweep", "second 1", "first sweep"]
    assert events._listeners == ()


def test_nothing_is_made_when_nobody_listens():
    made = list[int]()
    emit("sweep", lambda: {"n": made.append(1)})
    assert made == []


def test_what_fails_disturbs_nobody(caplog: pytest.LogCaptureFixture):
    heard = list[Event]()

    def broken(event: Event) -> None:
        raise RuntimeError("a listener's mistake")

    with caplog.at_level(logging.WARNING, "unweave"), listening(broken), listening(heard.append):
        emit("sweep", lambda: {"n": 1})
        emit("sweep", lambda: {"n": 1 // 0})
    assert [event.facts for event in heard] == [{"n": 1}]
    assert [record.message for record in caplog.records] == [
        "a listener failed on a sweep",
        "what a sweep did could not be told",
    ]


def test_a_sweep_tells_its_largest_effect_and_its_controls():
    planted = unweave.planted.load("previous-token")
    tokens = planted.inputs(4)
    metric = unweave.Loss(planted.algorithm(tokens), pos=slice(None))
    heard = list[Event]()
    with listening(heard.append):
        result = unweave.sweep(
            planted.model,
            tokens,
            ("z", "layer", "head"),
            metric=metric,
            operation=unweave.engine.Zero(),
            controls=2,
        )
    [event] = heard
    told = evidence(event.kind, event.facts, "a-step")
    effect = result.effect.flatten()
    largest = effect[effect.abs().argmax()]
    assert told["facts"]["largest"][0]["effect"] == pytest.approx(float(largest))
    # The mistake: the largest value, which here is not the largest change if that is downwards.
    assert told["value"] == pytest.approx(float(result.values.flatten()[effect.abs().argmax()]))
    assert told["control"].keys() == {"clean", "random"}
    assert (told["step"], told["ablation"], told["metric"], told["n"]) == (
        "a-step",
        "zero",
        "Loss",
        len(tokens),
    )
    assert told["facts"]["provenance"]["weights"] == result.provenance["weights"]


def test_a_training_run_tells_its_loss(tmp_path: Path):
    task = PreviousToken(d_vocab=8, n_ctx=6)
    cfg = unweave.HookedTransformerConfig(
        n_layers=1, d_model=8, n_heads=2, d_head=4, d_mlp=8, act_fn="relu", d_vocab=8, n_ctx=6, seed=0
    )
    heard = list[Event]()
    with listening(heard.append):
        run = train(
            unweave.HookedTransformer(cfg), task, TrainConfig(steps=3, batch_size=4, seed=5), label="tiny"
        )
    [event] = heard
    told = evidence(event.kind, event.facts, "a-step")
    assert told["text"].startswith("tiny: 3 steps, training loss")
    assert (told["value"], told["unit"], told["seeds"]) == (run.history[-1].loss, "nats", [5])
    assert told["facts"]["first_loss"] == run.history[0].loss
