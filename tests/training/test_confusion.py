"""The confusion matrix of docs/doctor.md: right in at least 8 of 10, silent on the healthy."""

from __future__ import annotations

from collections import defaultdict

import pytest

from bench.doctor_confusion import D_MODEL, HARD, KINDS, NOTHING, SEEDS, Outcome, examined


@pytest.mark.slow
def test_the_doctor_names_planted_faults_and_is_silent_on_healthy_runs():
    right, asked = defaultdict[str, int](int), defaultdict[str, int](int)
    for name, kind in KINDS.items():
        for one in (examined(name, d_model, seed) for d_model in D_MODEL for seed in SEEDS):
            assert isinstance(one, Outcome)
            if kind.expected is None:
                assert one.evidence == NOTHING, one
            elif one.spikes or not kind.by_spikes:
                asked[name] += 1
                right[name] += one.evidence == kind.expected
    for name in asked:
        assert asked[name] >= 4, f"{name}: too few runs had a symptom"
        assert name == HARD or right[name] >= 0.8 * asked[name], (name, right[name], asked[name])
