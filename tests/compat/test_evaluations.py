"""Evaluations, heads told by their patterns and singular vectors, with answers known beforehand."""

from __future__ import annotations

import sys
from types import SimpleNamespace
from typing import Any

import pytest
import torch

import unweave
from tests.compat.datasets import ColumnDataset
from unweave.compat.transformer_lens import SVDInterpreter, evals, head_detector, train
from unweave.compat.warned import CompatWarning
from unweave.core.errors import InputError

TOKENS = torch.tensor([[0, 1, 2, 3, 1, 2]])


class Reader:
    """A stand-in for a model: logits are a function of the tokens."""

    def __init__(self, logits: Any, d_vocab: int = 12) -> None:
        self.cfg = SimpleNamespace(d_vocab=d_vocab, default_prepend_bos=False)
        self.W_E, self.logits, self.tokenizer = torch.zeros(1), logits, Letters()

    def __call__(self, tokens: torch.Tensor, return_type: str, attention_mask: Any = None) -> torch.Tensor:
        logits = self.logits(tokens)
        if return_type == "logits":
            return logits
        return torch.nn.functional.cross_entropy(logits[:, :-1].flatten(0, 1), tokens[:, 1:].flatten())


class Letters:
    """A tokenizer of one token a word."""

    bos_token_id, eos_token_id, pad_token_id, pad_token = 0, 0, 0, "x"
    words = (*["0", "A", "B", "C", "D", "met", "John", "Mary", "saw", "Question:", "Choices:", "Answer:"],)

    def encode(self, text: str, add_special_tokens: bool = True, return_tensors: str | None = None) -> Any:
        tokens = [self.words.index(word) for word in text.replace(".", "").split() if word in self.words]
        return torch.tensor([tokens]) if return_tensors else tokens

    def __call__(self, texts: list[str], add_special_tokens: bool) -> dict[str, list[list[int]]]:
        return {"input_ids": [self.encode(text) for text in texts]}


@pytest.fixture
def datasets(monkeypatch: pytest.MonkeyPatch) -> list[Any]:
    """The names that are asked of `datasets`, which has one text ten times, or a question."""
    asked: list[Any] = []

    def load_dataset(*names: str, split: str) -> Any:
        asked.append((*names, split))
        if names[0] == "cais/mmlu":
            column = {"question": ["A?", "B?"], "choices": [["x", "y", "z", "w"]] * 2, "answer": [1, 2]}
            return ColumnDataset(column)
        return ColumnDataset(
            {"content" if "codeparrot" in names[0] else "text": ["A B C met John " * 1000] * 10}
        )

    monkeypatch.setitem(sys.modules, "datasets", SimpleNamespace(load_dataset=load_dataset))
    return asked


def test_planted_heads_are_detected():
    previous = unweave.planted.load("previous-token").model
    found = head_detector.detect_head(previous, TOKENS, "previous_token_head")
    assert found.item() == pytest.approx(5 / 6)  # BOS has nothing before it but itself
    found = head_detector.detect_head(previous, TOKENS, "previous_token_head", exclude_bos=True)
    assert found.item() == pytest.approx(1.0)
    induction = unweave.planted.load("induction").model
    found = head_detector.detect_head(induction, TOKENS, "previous_token_head", exclude_bos=True)
    assert found[0, 0] > 0.99 and found[1, 0] < 0.5
    # What is no induction rests on BOS.
    found = head_detector.detect_head(induction, TOKENS, "induction_head", exclude_bos=True)
    assert found[1, 0].item() == pytest.approx(1.0) and found[0, 0] < 0.5


def test_an_induction_pattern_shifted_the_wrong_way_finds_nothing():
    induction = unweave.planted.load("induction").model
    wrong = torch.zeros(6, 6)
    wrong[:, :-1] = head_detector.get_duplicate_token_head_detection_pattern(TOKENS)[:, 1:]
    assert head_detector.detect_head(induction, TOKENS, wrong, exclude_bos=True)[1, 0] < 0.01


def test_detection_says_what_is_wrong():
    model, own = unweave.planted.load("previous-token").model, torch.eye(6)
    for arguments, words in (
        ((TOKENS, "copying_head"), "or one of previous_token_head, .*; got 'copying_head'"),
        (
            (TOKENS, own[:5]),
            r"wanted a pattern of shape \(6, 6\), zero above its diagonal; got shape \(5, 6\)",
        ),
        ((TOKENS, own.roll(1, 1)), "not lower triangular"),
        ((TOKENS[:, :1], "induction_head"), r"wanted a text of 2 to \d+ tokens; got 1"),
        ((["a", "b"], own), "wanted one text, with a cache or a pattern of its own; got a list of 2 texts"),
    ):
        with pytest.raises(InputError, match=words):
            head_detector.detect_head(model, *arguments)
    with pytest.raises(InputError, match="wanted error_measure 'mul' or 'abs'; got 'square'"):
        head_detector.detect_head(model, TOKENS, own, error_measure="square")
    with pytest.warns(CompatWarning, match="other values than 0 and 1"):
        head_detector.detect_head(model, TOKENS, own * 0.5)


def test_detection_leaves_a_cache_as_it_is():
    model = unweave.planted.load("previous-token").model
    _, cache = model.run_with_cache(TOKENS)
    before = cache["pattern", 0].clone()
    head_detector.detect_head(model, TOKENS, "previous_token_head", cache=cache, exclude_bos=True)
    assert torch.equal(cache["pattern", 0], before)


def test_singular_vectors_of_hand_set_weights():
    cfg = unweave.HookedTransformerConfig(
        n_layers=1,
        d_model=4,
        d_head=2,
        d_mlp=3,
        n_ctx=4,
        d_vocab=4,
        act_fn="relu",
        normalization_type=None,
        seed=0,
    )
    model = unweave.HookedTransformer(cfg)
    with torch.no_grad():
        model.unembed.W_U.copy_(torch.eye(4))
        model.blocks[0].mlp.W_out.zero_()
        model.blocks[0].mlp.W_out[0, 2], model.blocks[0].mlp.W_out[1, 1] = 3.0, 2.0
    found = SVDInterpreter(model).get_singular_vectors("w_out", 0, num_vectors=2)
    # The largest value writes to 2, the next to 1; left vectors, which one may mistake, would say 0 and 1.
    assert found.abs()[:, 0].mT.round(decimals=5).tolist() == [[0, 0, 1, 0], [0, 1, 0, 0]]
    for arguments, words in (
        (("w_mid", 0), "wanted one of OV, w_in, w_out; got 'w_mid'"),
        (("OV", 0), "wanted head_index from 0 to 1; got None"),
        (("w_in", 1), "wanted layer_index from 0 to 0; got 1"),
        (("w_in", 0, 4), "wanted num_vectors from 1 to 3; got 4"),
    ):
        with pytest.raises(InputError, match=words):
            SVDInterpreter(model).get_singular_vectors(*arguments)


def test_indirect_objects_are_read_before_the_name():
    def logits(tokens: torch.Tensor) -> torch.Tensor:
        found = torch.zeros(*tokens.shape, 12)
        # Behind "saw": the first name of the sentence is 2.5 ahead. At the name itself, where a
        # mistake would look, all is equal.
        first = tokens[:, 1]
        saw = (tokens == 8).nonzero()
        found[saw[:, 0], saw[:, 1], first[saw[:, 0]]] = 2.5
        return found

    ioi = evals.IOIDataset(Letters(), ["[A] met [B]. [B] saw [A]"], nouns={}, num_samples=9, seed=0)
    assert ioi[0]["prompt"][0] == 0 and len(ioi) == 9
    found = evals.ioi_eval(Reader(logits), ioi, batch_size=4)
    assert found == {"Logit Difference": 2.5, "Accuracy": 1.0}
    assert evals.ioi_eval(Reader(lambda t: torch.zeros(*t.shape, 12)), ioi)["Accuracy"] == 0.0
    with pytest.raises(InputError, match="wanted two names of which none begins with the other's tokens"):
        evals.ioi_eval(Reader(logits), evals.IOIDataset(Letters(), names=["John", "John"], num_samples=1))
    with pytest.raises(InputError, match=r"wanted at least two names; got \['John'\]"):
        evals.IOIDataset(Letters(), names=["John"])


def test_induction_has_no_loss_for_a_model_that_looks_back():
    def copies(tokens: torch.Tensor, back: int = 6) -> torch.Tensor:
        # What stood behind the same place of the first half.
        return 50.0 * torch.nn.functional.one_hot(tokens.roll(back - 1, 1), 12).float()

    assert evals.induction_loss(Reader(copies), batch_size=3, subseq_len=6).item() == pytest.approx(
        0, abs=1e-6
    )
    assert evals.induction_loss(Reader(lambda t: copies(t, back=5)), batch_size=3, subseq_len=6).item() > 10
    with pytest.raises(InputError, match="wanted a tokenizer with BOS, to begin with it; got none"):
        evals.induction_loss(Reader(copies), tokenizer=SimpleNamespace(), prepend_bos=True)


def test_samples_of_the_hub_are_evaluated(datasets: list[Any], capsys: pytest.CaptureFixture[str]):
    found = evals.evaluate(Reader(lambda t: torch.zeros(*t.shape, 12)), truncate=1, batch_size=2)
    assert found.keys() == {"wiki_loss", "owt_loss", "pile_loss", "code_loss"}
    assert list(found.values()) == pytest.approx([torch.log(torch.tensor(12.0)).item()] * 4)
    assert [name for name, *_ in datasets][0::2] == ["Salesforce/wikitext", "NeelNanda/pile-10k"]
    assert "wiki: 2.48" in capsys.readouterr().out


def test_mmlu_takes_the_likeliest_letter(datasets: list[Any]):
    def likes(letter: int) -> Any:
        return lambda t: torch.nn.functional.one_hot(torch.full(t.shape, letter), 12).float()

    found = evals.mmlu_eval(Reader(likes(2)), subjects="anatomy")
    assert found == {"accuracy": 0.5, "num_correct": 1, "num_total": 2, "subject_scores": {"anatomy": 0.5}}
    assert evals.mmlu_eval(Reader(likes(2)), subjects=["anatomy"], num_samples=1)["accuracy"] == 1.0
    assert datasets[0] == ("cais/mmlu", "anatomy", "test")
    with pytest.raises(InputError, match="wanted a subject of MMLU; got 'anatomi'; nearest: anatomy"):
        evals.make_mmlu_data_loader("anatomi")
    with pytest.raises(InputError, match="wanted at least one question; got none"):
        evals.mmlu_eval(Reader(likes(2)), subjects=[])


def test_training_says_what_it_cannot_do(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "wandb", None)
    model = unweave.planted.load("previous-token").model
    for options, words in (
        (
            {"wandb": True},
            "wanted the package wandb, for wandb=True; got it isn't installed; pip install wandb",
        ),
        ({"optimizer_name": "Lion"}, "wanted optimizer_name 'Adam', 'AdamW' or 'SGD'; got 'Lion'"),
    ):
        config = train.HookedTransformerTrainConfig(num_epochs=1, batch_size=1, device="cpu", **options)
        with pytest.raises(InputError, match=words):
            train.train(model, config, [{"tokens": TOKENS[0]}])
