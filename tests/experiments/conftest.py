"""A small model that has learned the task, and its one-layer control: about 15 seconds to train."""

import pytest

from unweave.experiments.no_position.study import Study
from unweave.model.config import HookedTransformerConfig
from unweave.model.transformer import HookedTransformer
from unweave.tasks import PreviousToken
from unweave.training import TrainConfig, train

TASK = PreviousToken(d_vocab=30, n_ctx=20)


def small_model(n_layers: int = 2, positions: str = "none", seed: int = 0) -> HookedTransformer:
    return HookedTransformer(
        HookedTransformerConfig(
            n_layers=n_layers,
            d_model=64,
            n_ctx=TASK.n_ctx,
            d_head=64,
            d_mlp=128,
            d_vocab=TASK.d_vocab,
            act_fn="relu",
            positional_embedding_type=positions,
            seed=seed,
        )
    )


@pytest.fixture(scope="session")
def trained() -> Study:
    model = train(small_model(), TASK, TrainConfig(steps=700, batch_size=64, lr=3e-3)).model
    control = train(small_model(1), TASK, TrainConfig(steps=150, batch_size=64, lr=3e-3)).model
    return Study(model, control, seed=1, sequences=256)


@pytest.fixture
def untrained(trained: Study) -> Study:
    return Study(small_model(seed=5), trained.one_layer, seed=1, sequences=128)
