"""The door opened and closed: what stands in sys.modules and sys.meta_path, and which package wins."""

from __future__ import annotations

import pickle
import subprocess
import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path

import pytest

import unweave
import unweave.compat
import unweave.compat.transformer_lens as ours
from tests.repository import ROOT
from unweave.compat.finder import AliasFinder
from unweave.core.errors import InputError


def state() -> tuple[dict[str, object], list[object]]:
    names = {name: module for name, module in sys.modules.items() if name.startswith("transformer_lens")}
    return names, list(sys.meta_path)


@pytest.fixture(autouse=True)
def closed() -> Iterator[None]:
    before = state()
    yield
    unweave.compat.uninstall()
    assert state() == before


def in_a_process(code: str, *search: Path) -> subprocess.CompletedProcess[str]:
    path = ":".join(map(str, (*search, ROOT / "src")))
    return subprocess.run(
        [sys.executable, "-c", textwrap.dedent(code)],
        env={"PYTHONPATH": path, "PATH": ""},
        capture_output=True,
        text=True,
        check=False,
    )


@pytest.fixture
def real(tmp_path: Path) -> Path:
    """A folder with a package that stands for the real one; its second module breaks half-way."""
    package = tmp_path / "transformer_lens"
    package.mkdir()
    (package / "__init__.py").write_text("REAL = True\n")
    (package / "utils.py").write_text("REAL = True\n")
    (package / "broken.py").write_text("import transformer_lens.utils\nraise RuntimeError('half-way')\n")
    return tmp_path


def test_an_unchanged_import_gives_ours():
    before = state()
    unweave.compat.install()
    namespace: dict[str, object] = {}
    exec(
        "import transformer_lens\n"
        "import transformer_lens.utils as utils\n"
        "import transformer_lens.loading_from_pretrained as loading\n"
        "from transformer_lens import (ActivationCache, FactoredMatrix, HookedEncoder, HookedTransformer,\n"
        "    HookedTransformerConfig, SVDInterpreter, evals, head_detector, patching, utilities)\n"
        "from transformer_lens.hook_points import HookedRootModule, HookPoint\n"
        "from transformer_lens.HookedTransformer import HookedTransformer as Model, Output\n"
        "from transformer_lens.HookedTransformerConfig import HookedTransformerConfig as Config\n"
        "from transformer_lens.components.mlps.mlp import MLP\n"
        "from transformer_lens.past_key_value_caching import HookedTransformerKeyValueCache\n"
        "from transformer_lens.utilities.tensors import to_numpy\n",
        namespace,
    )
    assert namespace["transformer_lens"] is ours
    assert namespace["Model"] is namespace["HookedTransformer"] is ours.HookedTransformer
    assert namespace["Config"] is ours.HookedTransformerConfig
    assert namespace["HookPoint"] is unweave.HookPoint and namespace["utils"] is ours.utils
    assert ours.__spec__ is not None and ours.__spec__.name == "unweave.compat.transformer_lens"
    unweave.compat.uninstall()
    assert state() == before
    # The class stands where its module of the same name would have been put.
    assert isinstance(ours.HookedTransformer, type)


def test_a_second_install_and_a_second_uninstall_do_nothing():
    before = state()
    unweave.compat.install()
    opened = state()
    unweave.compat.install()
    assert state() == opened and opened != before
    unweave.compat.uninstall()
    unweave.compat.uninstall()
    assert state() == before


def test_after_a_partial_import_of_ours():
    code = """
        import unweave.compat.transformer_lens.utilities.tensors as tensors
        import unweave.compat, sys
        unweave.compat.install()
        from transformer_lens.utilities.tensors import to_numpy
        assert to_numpy is tensors.to_numpy
        import transformer_lens.utilities.tensors
        assert sys.modules["transformer_lens.utilities.tensors"] is tensors
        unweave.compat.uninstall()
        assert not [name for name in sys.modules if name.partition(".")[0] == "transformer_lens"]
    """
    result = in_a_process(code)
    assert result.returncode == 0, result.stderr


def test_an_installed_package_loses_with_a_warning_and_comes_back(real: Path):
    code = """
        import unweave.compat
        unweave.compat.install()
        import transformer_lens
        assert not hasattr(transformer_lens, "REAL")
        unweave.compat.uninstall()
        import transformer_lens
        assert transformer_lens.REAL
    """
    result = in_a_process(code, real)
    assert result.returncode == 0, result.stderr
    assert "from here on `import transformer_lens` gives Unweave's" in result.stderr


def test_an_imported_package_is_not_replaced_unless_that_is_asked_for(
    real: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.syspath_prepend(real)
    imported = __import__("transformer_lens.utils")
    try:
        before = state()
        with pytest.raises(InputError) as caught:
            unweave.compat.install()
        assert str(caught.value).startswith(
            "wanted a process that has not imported the real transformer_lens; got one that has: "
            f"{real / 'transformer_lens/__init__.py'}; call unweave.compat.install() first of all"
        )
        assert state() == before
        with pytest.warns(UserWarning, match="what was imported from .* before is still the real one"):
            unweave.compat.install(replace=True)
        assert __import__("transformer_lens") is ours
        unweave.compat.uninstall()
        assert state() == before and sys.modules["transformer_lens"] is imported
    finally:
        for name in [name for name in sys.modules if name.startswith("transformer_lens")]:
            del sys.modules[name]


def test_a_half_imported_package_counts_as_imported(real: Path):
    code = """
        import sys
        import unweave.compat
        try:
            import transformer_lens.broken
        except RuntimeError:
            del sys.modules["transformer_lens"]
        assert "transformer_lens.utils" in sys.modules
        try:
            unweave.compat.install()
        except ValueError as error:
            assert "transformer_lens/utils.py" in str(error)
        else:
            raise AssertionError
        unweave.compat.install(replace=True)
        from transformer_lens import utils
        assert not hasattr(utils, "REAL")
    """
    result = in_a_process(code, real)
    assert result.returncode == 0, result.stderr


def test_a_module_that_is_not_here_says_so():
    unweave.compat.install()
    with pytest.raises(ModuleNotFoundError, match=r"there is no transformer_lens\.nonsense in Unweave"):
        __import__("transformer_lens.nonsense.deep")
    with pytest.raises(
        ModuleNotFoundError, match=r"there is no transformer_lens\.model_bridge in Unweave: the bridge"
    ):
        __import__("transformer_lens.model_bridge.bridge")


def test_the_version_says_whose_names_these_are():
    from importlib.metadata import PackageNotFoundError, version

    with pytest.raises(PackageNotFoundError):
        version("transformer_lens")
    unweave.compat.install()
    wanted = f"3.9.0+unweave.{unweave.__version__}"
    assert version("transformer_lens") == version("transformer-lens") == wanted
    assert AliasFinder().find_spec("torch") is None


def test_models_travel_to_another_process(tmp_path: Path):
    unweave.compat.install()
    config = ours.HookedTransformerConfig(
        d_model=4, d_head=2, n_layers=1, n_ctx=3, d_vocab=5, seed=0, device="cpu"
    )
    path = tmp_path / "model.pickle"
    path.write_bytes(pickle.dumps(ours.HookedTransformer(config)))
    code = f"""
        import pickle
        model = pickle.load(open({str(path)!r}, "rb"))
        print(type(model).__name__, type(model).__module__, model.cfg.seed)
    """
    result = in_a_process(code)
    assert result.stdout.split() == [
        "HookedTransformer",
        "unweave.compat.transformer_lens.HookedTransformer",
        "0",
    ]
