"""Reference experiments: a task, a training run, claims with predictions, a report."""

from unweave.experiments.registry import Experiment, ExperimentRun, load_experiment

__all__ = ["Experiment", "ExperimentRun", "load_experiment"]
