"""Opening a 1.5 GB checkpoint: memory and time to first logits, beside transformers and TransformerLens.

Run by `make bench`. Random weights in GPT-2's shape (26 layers of 1,024) are written once into a temporary
folder. Each library opens them in a process of its own, in turn, and runs eight tokens; imports aren't
counted. Memory is anonymous memory, as the system counts it: a memory map of the file isn't in it.
TransformerLens 3.9.0 gets a model that transformers has loaded (`hf_model=`), since it opens no folder; 4.3.0
opens it through its bridge, where UNWEAVE_TL4_PYTHON names a Python that has it.
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

SIZES = {"n_layer": 26, "n_head": 16, "n_embd": 1024, "n_positions": 1024, "vocab_size": 50257}
QUICK = {"n_layer": 2, "n_head": 4, "n_embd": 64, "n_positions": 64, "vocab_size": 1000}
TL4 = "UNWEAVE_TL4_PYTHON"
# What must hold of ours.
MOST_MEMORY, MOST_TIME = 0.15, 1.2

WORKER = """
import json, sys, time
import torch
torch.set_num_threads(1)
{imports}

def anonymous():
    with open("/proc/self/smaps_rollup") as lines:
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("Anonymous:"))

tokens, folder = torch.arange(8)[None], sys.argv[1]
before, start = anonymous(), time.perf_counter()
{opening}
opened = time.perf_counter()
with torch.no_grad():
    logits = model(tokens)
logits = getattr(logits, "logits", logits)
end = time.perf_counter()
print(json.dumps(dict(open=opened - start, logits=end - start, memory=anonymous() - before,
                      sum=float(logits.double().abs().sum()))))
"""
OPENERS = {
    "unweave": (
        "from unweave import HookedTransformer; from unweave.pretrained import opening",
        "model = HookedTransformer.from_pretrained(folder, device='cpu')",
    ),
    "transformers": (
        "from transformers import GPT2LMHeadModel",
        "model = GPT2LMHeadModel.from_pretrained(folder).eval()",
    ),
    "transformer-lens 3.9.0": (
        # It wants a tokenizer that was loaded from somewhere.
        "import tempfile\n"
        "from tokenizers import Tokenizer, models\n"
        "from transformers import AutoConfig, AutoTokenizer, GPT2LMHeadModel, PreTrainedTokenizerFast\n"
        "from transformer_lens import HookedTransformer\n"
        "words = Tokenizer(models.WordLevel({'a': 0}, unk_token='a'))\n"
        "tokenizer = PreTrainedTokenizerFast(tokenizer_object=words, bos_token='a', eos_token='a', pad_token='a')\n"
        "place = tempfile.TemporaryDirectory()\n"
        "tokenizer.save_pretrained(place.name)\n"
        "tokenizer = AutoTokenizer.from_pretrained(place.name)",
        # It asks the hub for the config of the name it is given, though the model has one.
        "theirs = GPT2LMHeadModel.from_pretrained(folder)\n"
        # As the hub's own file has it.
        "theirs.config.n_ctx = theirs.config.n_positions\n"
        "AutoConfig.from_pretrained = staticmethod(lambda *_, **__: theirs.config)\n"
        "model = HookedTransformer.from_pretrained_no_processing('gpt2', tokenizer=tokenizer, device='cpu',\n"
        "    hf_model=theirs)",
    ),
    "transformer-lens 4.3.0": (
        "from transformer_lens.model_bridge import TransformerBridge",
        "model = TransformerBridge.boot_transformers(folder, device='cpu')",
    ),
}


def write_checkpoint(folder: Path, sizes: dict[str, int]) -> int:
    """Random weights, written as save_pretrained does; their size in bytes."""
    import torch
    from safetensors.torch import save_file
    from transformers import GPT2Config, GPT2LMHeadModel

    with torch.device("meta"):
        model = GPT2LMHeadModel(GPT2Config(**sizes))
    weights = {
        name: torch.randn(weight.shape) * 0.02
        for name, weight in model.state_dict().items()
        if name != "lm_head.weight"
    }
    model.config.architectures = ["GPT2LMHeadModel"]
    model.config.save_pretrained(folder)
    save_file(weights, folder / "model.safetensors", {"format": "pt"})
    return sum(weight.nbytes for weight in weights.values())


def measure(python: str | Path, library: str, folder: Path) -> dict[str, Any]:
    """One process that opens the folder and runs a few tokens."""
    imports, opening = OPENERS[library]
    code = WORKER.format(imports=imports, opening=opening)
    done = subprocess.run(
        [python, "-c", code, folder],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "PYTHONPATH": str(ROOT / "src"), "HF_HUB_OFFLINE": "1", "TQDM_DISABLE": "1"},
    )
    if done.returncode:
        return {"error": done.stderr.strip().splitlines()[-1][:100]}
    return json.loads(done.stdout.strip().splitlines()[-1])


def libraries(peer: str | None) -> dict[str, str | Path]:
    """Which library runs in which Python; those that aren't there are told and left out."""
    from bench.peers.environment import PeerAbsent, peer_python

    found: dict[str, str | Path] = {"unweave": sys.executable, "transformers": sys.executable}
    try:
        found["transformer-lens 3.9.0"] = peer_python(peer)
    except PeerAbsent as absent:
        print(f"without transformer-lens 3.9.0: {absent}")
    if os.environ.get(TL4):
        found["transformer-lens 4.3.0"] = os.environ[TL4]
    else:
        print(f"without transformer-lens 4.3.0: set {TL4} to a Python that has it")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--peer", help="Python with transformer-lens 3.9.0")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, help="where the checkpoint is, or goes, and stays")
    parser.add_argument("--quick", action="store_true", help="a small checkpoint, to see that it works")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="unweave-loading-") as temporary:
        folder = given.folder or Path(temporary)
        if not (folder / "model.safetensors").exists():
            folder.mkdir(parents=True, exist_ok=True)
            write_checkpoint(folder, QUICK if given.quick else SIZES)
        size = (folder / "model.safetensors").stat().st_size
        runs: dict[str, list[dict[str, Any]]] = {}
        found = libraries(given.peer)
        # Once before, so that the file is in memory for all of them alike.
        measure(sys.executable, "unweave", folder)
        for _ in range(given.rounds):
            for library, python in found.items():
                runs.setdefault(library, []).append(measure(python, library, folder))
    report(runs, size)


def report(runs: dict[str, list[dict[str, Any]]], size: int) -> None:
    """A table of medians, and whether ours holds."""
    print(f"a checkpoint of {size / 1e9:.2f} GB in float32, on the CPU, one thread; medians")
    print(f"{'':24}{'open':>9}{'logits':>9}{'anonymous memory':>20}")
    medians: dict[str, dict[str, float]] = {}
    for library, found in runs.items():
        if "error" in found[-1]:
            print(f"{library:24}{found[-1]['error']}")
            continue
        medians[library] = {key: statistics.median(run[key] for run in found) for key in found[0]}
        one = medians[library]
        share = one["memory"] / size
        print(
            f"{library:24}{one['open']:>7.2f} s{one['logits']:>7.2f} s{one['memory'] / 1e9:>10.2f} GB{share:>7.0%}"
        )
    ours, theirs = medians["unweave"], medians["transformers"]
    # What is beyond the model: all of it, if it is mapped, and what exceeds its size if it isn't.
    beyond = min(ours["memory"], abs(ours["memory"] - size)) / size
    ratio = ours["logits"] / theirs["logits"]
    print(f"memory beyond the model's own size: {beyond:.1%} (aim: under {MOST_MEMORY:.0%})")
    print(f"time to first logits: {ratio:.2f} of transformers' (aim: at most {MOST_TIME})")
    same = abs(ours["sum"] / theirs["sum"] - 1) < 1e-5
    print(f"the same logits: {'yes' if same else 'NO'}")
    if not same:
        sys.exit(1)


if __name__ == "__main__":
    main()
