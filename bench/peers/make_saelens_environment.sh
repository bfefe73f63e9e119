#!/bin/sh
# An environment with SAELens and without the transformer-lens that it asks for: Unweave's compat door stands in
# its place. torch is the one that constraints.txt pins.
#
#   sh bench/peers/make_saelens_environment.sh ~/.cache/unweave-peers/saelens
#
# The last line it prints sets the variable that tests/compat/test_saelens.py looks for.
set -eu
folder=${1:?"usage: $0 FOLDER [VERSION], where the environment is to be made, and of which sae-lens"}
version=${2:-6.54.12}
root=$(cd "$(dirname "$0")/../.." && pwd)
torch=$(grep '^torch==' "$root/constraints.txt")
"${PYTHON:-python3}" -m venv "$folder"
pip="$folder/bin/python -m pip --disable-pip-version-check"
# torch first, so that the rest settles for this one.
$pip install --quiet "$torch"
$pip install --quiet --no-deps "sae-lens==$version"
# What sae-lens itself declares, but for transformer-lens and its optional parts; and wandb, which it imports and
# leaves to transformer-lens to bring.
"$folder/bin/python" - > "$folder/wanted.txt" <<'PYTHON'
from importlib.metadata import requires

for line in requires("sae-lens"):
    if "extra ==" not in line and not line.startswith("transformer-lens"):
        print(line)
PYTHON
$pip install --quiet "$torch" --requirement "$folder/wanted.txt" wandb pytest "$root[hf]"
# This checkout's Unweave, and not the copy: with it gone its dependencies stay.
$pip uninstall --quiet --yes unweave
echo "export UNWEAVE_SAELENS_PYTHON=$folder/bin/python"
