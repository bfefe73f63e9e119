#!/bin/sh
# A peer's own environment: one version of transformer-lens, beside the torch that constraints.txt pins. It is
# never installed next to Unweave. Without a version: 3.9.0, the last with HookedTransformer.
#
#   sh bench/peers/make_environment.sh ~/.cache/unweave-peers/transformer-lens
#   sh bench/peers/make_environment.sh ~/.cache/unweave-peers/transformer-lens-4 4.3.0
#
# The last line it prints sets the variable that the measurements look for.
set -eu
folder=${1:?"usage: $0 FOLDER [VERSION], where the environment is to be made, and of which transformer-lens"}
version=${2:-3.9.0}
case $version in
  3.*) variable=UNWEAVE_TL_PYTHON; door=HookedTransformer ;;
  4.*) variable=UNWEAVE_TL4_PYTHON; door=model_bridge ;;
  *) echo "$0: no measurement uses transformer-lens $version; give 3.9.0 or 4.3.0" >&2; exit 2 ;;
esac
here=$(dirname "$0")
torch=$(grep '^torch==' "$here/../../constraints.txt")
"${PYTHON:-python3}" -m venv "$folder"
# torch first, so that the peer's dependencies settle for this one.
"$folder/bin/python" -m pip install --quiet "$torch"
"$folder/bin/python" -m pip install --quiet "$torch" "transformer-lens==$version"
"$folder/bin/python" -W ignore -c "from transformer_lens import $door"
echo "export $variable=$folder/bin/python"
