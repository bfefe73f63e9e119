#!/bin/sh
# The peer's own environment: transformer-lens 3.9.0, the last with HookedTransformer, beside the torch that
# constraints.txt pins. It is never installed next to Unweave.
#
#   sh bench/peers/make_environment.sh ~/.cache/unweave-peers/transformer-lens
#   export UNWEAVE_TL_PYTHON=~/.cache/unweave-peers/transformer-lens/bin/python
set -eu
folder=${1:?"usage: $0 FOLDER, where the environment is to be made"}
here=$(dirname "$0")
torch=$(grep '^torch==' "$here/../../constraints.txt")
"${PYTHON:-python3}" -m venv "$folder"
# torch first, so that the peer's dependencies settle for this one.
"$folder/bin/python" -m pip install --quiet "$torch"
"$folder/bin/python" -m pip install --quiet "$torch" transformer-lens==3.9.0
"$folder/bin/python" -W ignore -c 'from transformer_lens import HookedTransformer'
echo "export UNWEAVE_TL_PYTHON=$folder/bin/python"
