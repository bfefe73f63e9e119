"""A model's files on the Hugging Face hub, downloaded as they are asked for, and kept in its cache."""

from __future__ import annotations

import os
from collections.abc import Generator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import Any

from unweave.core.errors import InputError
from unweave.pretrained.files import Files, Folder
from unweave.pretrained.names import hub_id


@dataclass
class Hub(Files):
    """The files of one repository at one revision.

    Args:
        repo: the hub id, "owner/name".
        revision: a branch, a tag or a commit; None means the main branch.
        token: of a user; None takes HF_TOKEN, or what `hf auth login` has kept.
        cache_dir: where files are kept; None means the hub's own cache.
        local_files_only: take what the cache holds, and ask no one.
    """

    repo: str
    revision: str | None = None
    token: str | bool | None = None
    cache_dir: str | Path | None = None
    local_files_only: bool = False
    local = False

    def find(self, name: str) -> Path | None:
        """The file, downloaded if it isn't in the cache yet."""
        hub = _library()
        with self._explained():
            try:
                return Path(hub.hf_hub_download(self.repo, name, **self.asked()))
            except hub.errors.LocalEntryNotFoundError:
                # Offline: absent from the cache, or from the model? The config is in every model.
                if self._offline() and name != "config.json" and self._cached("config.json"):
                    return None
                raise
            except hub.errors.EntryNotFoundError:
                return None

    def gather(self, names: list[str]) -> None:
        """Download several files at once."""
        with self._explained():
            _library().snapshot_download(self.repo, allow_patterns=names, **self.asked())

    def __str__(self) -> str:
        return f"{self.repo} on the hub" + (f" at revision {self.revision}" if self.revision else "")

    def asked(self) -> dict[str, Any]:
        """What every call to the hub's library is given."""
        return {
            "revision": self.revision,
            "token": self.token,
            "cache_dir": self.cache_dir,
            "local_files_only": self.local_files_only,
        }

    def _offline(self) -> bool:
        return self.local_files_only or _library().constants.HF_HUB_OFFLINE

    def _cached(self, name: str) -> bool:
        asked = {"revision": self.revision, "cache_dir": self.cache_dir}
        return isinstance(_library().try_to_load_from_cache(self.repo, name, **asked), str)

    @contextmanager
    def _explained(self) -> Generator[None]:
        """The hub's errors, told with what to do about them."""
        errors = _library().errors
        try:
            yield
        except errors.GatedRepoError as error:
            raise InputError(
                wanted=f"access to {self.repo}, a gated model",
                got="no hub token" if not self._has_token() else "a hub token without access to it",
                remedy=f"accept its conditions at https://huggingface.co/{self.repo}, then set HF_TOKEN to a token "
                "of yours (https://huggingface.co/settings/tokens), or pass token=...",
            ) from error
        except errors.RevisionNotFoundError as error:
            raise InputError(
                wanted=f"a revision of {self.repo}",
                got=repr(self.revision),
                remedy=f"see https://huggingface.co/{self.repo}/tree/main for its branches and tags",
            ) from error
        except errors.RepositoryNotFoundError as error:
            got = f"no model {self.repo} that {'this token' if self._has_token() else 'anyone without a token'} may see"
            raise InputError(
                wanted="a model on the hub, or a folder",
                got=got,
                remedy="check the name; for a private or gated model set HF_TOKEN, or pass token=...",
            ) from error
        except errors.HFValidationError as error:
            raise InputError(
                wanted="a hub id 'owner/name', or a folder that exists",
                got=repr(self.repo),
                remedy="check the name",
            ) from error
        except (errors.LocalEntryNotFoundError, errors.OfflineModeIsEnabled, ConnectionError) as error:
            raise InputError(
                wanted=f"the files of {self.repo}, from the hub or its cache",
                got="the hub can't be reached"
                if not self._offline()
                else "offline mode, and they aren't in the cache",
                remedy=f"download them where there is a network (hf download {self.repo} --local-dir DIR), and "
                "pass that folder; or set HF_HOME to a cache that has them",
            ) from error

    def _has_token(self) -> bool:
        return bool(self.token or os.environ.get("HF_TOKEN") or _library().get_token())


def files_at(path_or_id: str | Path, revision: str | None = None, **for_the_hub: Any) -> Files:
    """The files of a folder, or of a hub id or short name.

    Raises:
        InputError: for a folder that does not exist, or a revision of one.
    """
    folder = Path(path_or_id).expanduser()
    if folder.is_dir():
        if revision is not None:
            raise InputError(
                wanted="a hub id with revision=", got=f"{folder}, a folder", remedy="leave revision out"
            )
        return Folder(folder)
    if isinstance(path_or_id, Path) or folder.is_absolute() or str(path_or_id).count("/") > 1:
        raise InputError(
            wanted="a folder that exists, or a hub id", got=str(path_or_id), remedy="check its name"
        )
    return Hub(hub_id(str(path_or_id)), revision, **for_the_hub)


def _library() -> Any:
    try:
        hub = import_module("huggingface_hub")
        import_module("huggingface_hub.errors")
    except ImportError as error:
        raise InputError(
            wanted="huggingface_hub, to open a model of the hub",
            got="it isn't installed",
            remedy='pip install "unweave[hf]", or pass a folder',
        ) from error
    return hub
