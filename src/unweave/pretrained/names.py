"""Short names of well-known models, as TransformerLens has them, and the suites that keep checkpoints of training."""

from __future__ import annotations

from unweave.core.errors import InputError

# Models whose short name is what stands after the slash, in capitals or not.
OWNERS = {
    "EleutherAI": (
        *(
            "gpt-neo-125M",
            "gpt-neo-1.3B",
            "gpt-neo-2.7B",
            "gpt-j-6B",
            "gpt-neox-20b",
            "pythia-14m",
            "pythia-31m",
        ),
        *(
            f"pythia-{size}{kind}"
            for size in ("70m", "160m", "410m", "1b", "1.4b", "2.8b", "6.9b", "12b")
            for kind in ("", "-deduped", "-v0", "-deduped-v0")
        ),
        *("pythia-160m-seed1", "pythia-160m-seed2", "pythia-160m-seed3"),
    ),
    "facebook": tuple(f"opt-{size}" for size in ("125m", "1.3b", "2.7b", "6.7b", "13b", "30b", "66b")),
    "bigscience": tuple(f"bloom-{size}" for size in ("560m", "1b1", "1b7", "3b", "7b1")),
    "google": (
        *("gemma-2b", "gemma-7b", "gemma-2b-it", "gemma-7b-it", "gemma-2-2b", "gemma-2-2b-it", "gemma-2-9b"),
        *("gemma-2-9b-it", "gemma-2-27b", "gemma-2-27b-it", "gemma-3-270m", "gemma-3-270m-it"),
        *("gemma-3-1b-pt", "gemma-3-1b-it"),
    ),
    "google-bert": ("bert-base-cased", "bert-base-uncased", "bert-large-cased", "bert-large-uncased"),
    "microsoft": ("phi-1", "phi-1_5", "phi-2", "phi-4"),
    "stabilityai": (
        *("stablelm-base-alpha-3b", "stablelm-base-alpha-7b", "stablelm-tuned-alpha-3b"),
        "stablelm-tuned-alpha-7b",
    ),
    "Qwen": (
        *("Qwen2-0.5B", "Qwen2-1.5B", "Qwen2-7B", "Qwen2.5-0.5B", "Qwen2.5-1.5B", "Qwen2.5-3B", "Qwen2.5-7B"),
        *("Qwen2-0.5B-Instruct", "Qwen2-1.5B-Instruct", "Qwen2-7B-Instruct", "Qwen2.5-0.5B-Instruct"),
        *("Qwen2.5-1.5B-Instruct", "Qwen2.5-3B-Instruct", "Qwen2.5-7B-Instruct"),
        *("Qwen3-0.6B", "Qwen3-1.7B", "Qwen3-4B", "Qwen3-8B", "Qwen3-14B", "Qwen3-0.6B-Base"),
    ),
    "roneneldan": tuple(f"TinyStories-{size}" for size in ("1M", "3M", "8M", "28M", "33M")),
}

# Short names of another form.
SHORT = {
    "gpt2-small": "gpt2",
    "gpt2-xs": "distilgpt2",
    "distil-gpt2": "distilgpt2",
    "gpt-neo-small": "EleutherAI/gpt-neo-125M",
    "neo": "EleutherAI/gpt-neo-125M",
    "gpt-j": "EleutherAI/gpt-j-6B",
    "gptj": "EleutherAI/gpt-j-6B",
    "gpt-neox": "EleutherAI/gpt-neox-20b",
    "neox": "EleutherAI/gpt-neox-20b",
    "pythia": "EleutherAI/pythia-70m",
    "opt": "facebook/opt-125m",
    "llama-2-7b": "meta-llama/Llama-2-7b-hf",
    "llama-2-7b-chat": "meta-llama/Llama-2-7b-chat-hf",
    "llama-2-13b": "meta-llama/Llama-2-13b-hf",
    "llama-2-13b-chat": "meta-llama/Llama-2-13b-chat-hf",
    "llama-2-70b-chat": "meta-llama/Llama-2-70b-chat-hf",
    "mistral-7b": "mistralai/Mistral-7B-v0.1",
    "mistral-7b-instruct": "mistralai/Mistral-7B-Instruct-v0.1",
    "mistral-nemo-base-2407": "mistralai/Mistral-Nemo-Base-2407",
    "mixtral": "mistralai/Mixtral-8x7B-v0.1",
    "mixtral-instruct": "mistralai/Mixtral-8x7B-Instruct-v0.1",
    "olmo-1b": "allenai/OLMo-1B-hf",
    "olmo-7b": "allenai/OLMo-7B-hf",
    "olmo-2-1b": "allenai/OLMo-2-0425-1B",
    "olmo-2-7b": "allenai/OLMo-2-1124-7B",
    "phi-3": "microsoft/Phi-3-mini-4k-instruct",
    "santacoder": "bigcode/santacoder",
    "tiny-stories-1m": "roneneldan/TinyStories-1M",
    "tiny-stories-3m": "roneneldan/TinyStories-3M",
    "tiny-stories-8m": "roneneldan/TinyStories-8M",
    "tiny-stories-28m": "roneneldan/TinyStories-28M",
    "tiny-stories-33m": "roneneldan/TinyStories-33M",
    "tiny-stories-1l-21m": "roneneldan/TinyStories-1Layer-21M",
    "tiny-stories-2l-33m": "roneneldan/TinyStories-2Layers-33M",
    **{
        f"stanford-gpt2-{size}-{letter}": f"stanford-crfm/{name}-gpt2-{size}-x{seed}"
        for size, letter, name, seed in (
            ("small", "a", "alias", 21),
            ("small", "b", "battlestar", 49),
            ("small", "c", "caprica", 81),
            ("small", "d", "darkmatter", 343),
            ("small", "e", "expanse", 777),
            ("medium", "a", "arwen", 21),
            ("medium", "b", "beren", 49),
            ("medium", "c", "celebrimbor", 81),
            ("medium", "d", "durin", 343),
            ("medium", "e", "eowyn", 777),
        )
    },
}

ALIASES = {name.lower(): f"{owner}/{name}" for owner, names in OWNERS.items() for name in names} | SHORT

# Steps at which the suites' checkpoints were kept.
EARLY = (0, 1, 2, 4, 8, 16, 32, 64, 128, 256, 512)
PYTHIA_V0 = tuple(range(1000, 143_001, 1000))
STANFORD = (
    *range(0, 100, 10),
    *range(100, 2000, 50),
    *range(2000, 20_000, 100),
    *range(20_000, 400_001, 1000),
)


def hub_id(name: str) -> str:
    """The hub id that a short name stands for; another name is one already."""
    return ALIASES.get(name.lower(), name)


def checkpoint_steps(repo: str) -> tuple[tuple[int, ...], str]:
    """The steps of training at which a suite kept its weights, and how it names their revisions.

    Raises:
        InputError: for a model that isn't of such a suite.
    """
    if repo.startswith("EleutherAI/pythia"):
        return (PYTHIA_V0 if "-v0" in repo else (*EARLY, *PYTHIA_V0)), "step{}"
    if repo.startswith("stanford-crfm/"):
        return STANFORD, "checkpoint-{}"
    raise InputError(
        wanted="a model of a suite whose training checkpoints are known (EleutherAI/pythia-*, stanford-crfm/*)",
        got=repr(repo),
        remedy="leave out checkpoint_index and checkpoint_value, and name the branch in revision=",
    )


def checkpoint_revision(repo: str, index: int | None, value: int | None) -> str:
    """The revision of a training checkpoint, by its number in the list or by its step.

    Raises:
        InputError: for both, or one that isn't there.
    """
    steps, name = checkpoint_steps(repo)
    if index is not None and value is not None:
        raise InputError(
            wanted="checkpoint_index or checkpoint_value", got="both", remedy="leave one of them out"
        )
    if index is not None:
        if not -len(steps) <= index < len(steps):
            raise InputError(
                wanted=f"checkpoint_index from 0 to {len(steps) - 1} for {repo}",
                got=str(index),
                remedy="or name the step in checkpoint_value",
            )
        value = steps[index]
    if value not in steps:
        close = sorted(steps, key=lambda step: abs(step - (value or 0)))[:3]
        raise InputError(
            wanted=f"a step at which {repo} was kept",
            got=f"checkpoint_value={value}",
            remedy=f"nearest: {', '.join(map(str, sorted(close)))}",
        )
    return name.format(value)
