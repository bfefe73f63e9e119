"""Spikes planted into smooth curves are found, and nothing else is."""

from __future__ import annotations

import math

from unweave.experiments.no_position.original import original
from unweave.training.spikes import clusters_above, find_spikes


def falling(steps: int = 1000) -> list[float]:
    return [6.0 * math.exp(-step / 80) + 0.01 for step in range(steps)]


def test_a_smooth_fall_has_no_spike():
    assert find_spikes(falling()) == []


def test_planted_spikes_are_found_at_their_peaks():
    losses = falling()
    for step, factor in ((500, 3.0), (503, 5.0), (509, 3.0), (700, 4.0)):
        losses[step] *= factor
    # Three within ten steps of each other are one spike, told by its highest step.
    assert find_spikes(losses) == [(503, losses[503]), (700, losses[700])]


def test_a_rise_below_twice_the_local_level_is_none():
    losses = falling()
    losses[600] *= 1.9
    assert find_spikes(losses) == []


def test_clusters_above_a_level_count_from_the_step_given():
    losses = [0.0] * 100
    for step in (5, 40, 45, 80):
        losses[step] = 0.2 + step / 1000
    assert [spike.step for spike in clusters_above(losses, 0.1, after=10)] == [45, 80]


def test_the_level_itself_is_not_above_it():
    assert clusters_above([0.1, 0.1], 0.1, after=0) == []


def test_the_original_is_known_by_its_clusters():
    assert original()["loss_spikes"].startswith("36 clusters above 0.1 after step 1000")


def test_the_fast_fall_at_the_start_is_none_though_it_stands_above_its_median():
    losses = [2.2, 2.4, 2.1, 1.5, 0.8] + [0.01 * 0.99**step for step in range(100)]
    assert find_spikes(losses) == []
    losses[60] = 1.0
    assert find_spikes(losses) == [(60, 1.0)]
