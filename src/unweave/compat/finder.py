"""How Python finds `transformer_lens` behind the door: its modules, and the version it stands for."""

from __future__ import annotations

import sys
from collections.abc import Iterable, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from importlib.metadata import Distribution, DistributionFinder
from os import PathLike
from pathlib import Path
from pkgutil import walk_packages
from types import ModuleType

from unweave import __version__
from unweave.compat.missing import MISSING

NAME = "transformer_lens"
HOME = f"unweave.compat.{NAME}"
# The release whose names these are, and, as PEP 440's local label, whose they are.
VERSION = f"3.9.0+unweave.{__version__}"


def aliased(name: str) -> str:
    """Where the module of this name really is."""
    return HOME + name.removeprefix(NAME)


class AliasFinder(MetaPathFinder, Loader):
    """Finds every module of `transformer_lens` in `unweave.compat.transformer_lens`, as the same object."""

    def find_spec(
        self, fullname: str, path: Sequence[str] | None = None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        """The spec of the package itself: importing it puts all its modules into sys.modules."""
        if fullname == NAME:
            return ModuleSpec(fullname, self, is_package=True)
        if fullname.partition(".")[0] != NAME:
            return None
        # What exists is in sys.modules by now, and was never asked for here.
        short = fullname.removeprefix(f"{NAME}.")
        reasons = [why for name, why in MISSING.items() if f"{short}.".startswith(f"{name}.")]
        raise ModuleNotFoundError(
            f"there is no {fullname} in Unweave" + (f": {reasons[0]}" if reasons else ""), name=fullname
        )

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """The module that is there already; what the import system writes into it is taken back."""
        module = import_module(HOME)
        self._own_spec = module.__spec__
        return module

    def exec_module(self, module: ModuleType) -> None:
        """Give every module below it its second name.

        Here and not when each is asked for: the import system would write a module into its package
        under its last name, where for `HookedTransformer` and others the class stands.
        """
        module.__spec__ = self._own_spec
        for found in walk_packages(module.__path__, f"{HOME}."):
            sys.modules[NAME + found.name.removeprefix(HOME)] = import_module(found.name)

    def find_distributions(self, context: DistributionFinder.Context | None = None) -> Iterable[Distribution]:
        """What `importlib.metadata` is told, where a package asks for the version."""
        name = None if context is None else context.name
        if name is None or name.replace("-", "_").lower() == NAME:
            yield DoorsDistribution()


class DoorsDistribution(Distribution):
    """Metadata that say whose names these are: `version("transformer_lens")` ends in "+unweave…"."""

    def read_text(self, filename: str) -> str | None:
        """The metadata; there is no other file."""
        if filename != "METADATA":
            return None
        return (
            f"Metadata-Version: 2.1\nName: {NAME}\nVersion: {VERSION}\nSummary: {NAME}'s names over Unweave\n"
        )

    def locate_file(self, path: str | PathLike[str]) -> Path:
        """Where a file of the package would be."""
        return Path(__file__).parent / NAME / path
