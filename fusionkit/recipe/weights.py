"""``Weights``: tensors of one's own for a branch, and which exceptions are allowed."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import KW_ONLY, dataclass
from os import PathLike, fspath

from fusionkit.errors import ConfigError

__all__ = ["HUB", "Weights", "is_source"]

HUB = "hf-hub:"
SUFFIXES = (".safetensors", ".safetensors.index.json")
CHECKSUM = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Weights:
    """A checkpoint to load, strictly but for the exceptions that are named here.

    Attributes:
        source: the path of a safetensors file, of the index of a sharded set, or of a folder
            with one of them; or ``"hf-hub:owner/name"``, ``"hf-hub:owner/name@revision"``.
        rename: what takes the place of the beginning of names in the file, for example
            ``{"encoder_q.": ""}``. Left out, the one renaming is looked for under which
            all names of the branch are found with their shapes.
        ignore: globs of names in the file, after ``rename``, that may be left over.
        missing: globs of the branch's names that the file may lack; they keep their random
            values.
        resize: globs of the branch's names, such as ``"pos_embed"``, that may be interpolated
            to another size.
        sha256: the checksum that the file must have, in hexadecimal digits.
        mmap: maps the file into memory instead of reading it, which takes a fraction of the time
            and shares memory between processes. Then nobody may write to the file while the
            model lives: one that is cut ends the process, one that is changed in place
            changes what was not trained. To replace it by another file does no harm.
    """

    source: str | PathLike[str]
    _: KW_ONLY
    rename: Mapping[str, str] | None = None
    ignore: tuple[str, ...] = ()
    missing: tuple[str, ...] = ()
    resize: tuple[str, ...] = ()
    sha256: str | None = None
    mmap: bool = False

    def __post_init__(self) -> None:
        source = fspath(self.source) if isinstance(self.source, PathLike) else self.source
        if not isinstance(source, str) or not source.strip() or not source.isprintable():
            raise ConfigError(
                "Weights takes the path of a safetensors file, index or folder, or "
                f"'hf-hub:owner/name'; got {source!r:.200}"
            )
        object.__setattr__(self, "source", source)
        for name in ("ignore", "missing", "resize"):
            globs = getattr(self, name)
            listed = isinstance(globs, (list, tuple))
            if not listed or not all(isinstance(glob, str) and glob for glob in globs):
                raise ConfigError(
                    f"Weights.{name} is a list of globs over names of tensors, for example "
                    f"['head.*']; got {globs!r:.200}"
                )
            object.__setattr__(self, name, tuple(globs))
        rename = self.rename
        if rename is not None and not (
            isinstance(rename, Mapping)
            and all(isinstance(each, str) for pair in rename.items() for each in pair)
        ):
            raise ConfigError(
                "Weights.rename says what takes the place of the beginning of names, for example "
                f"{{'encoder_q.': ''}}; got {rename!r:.200}"
            )
        if rename is not None:
            object.__setattr__(self, "rename", dict(rename))
        if self.sha256 is not None and not (
            isinstance(self.sha256, str) and CHECKSUM.fullmatch(self.sha256)
        ):
            raise ConfigError(
                "Weights.sha256 is the file's checksum, 64 hexadecimal digits in lower case, as "
                f"sha256sum prints it; got {self.sha256!r:.80}"
            )
        if not isinstance(self.mmap, bool):
            raise ConfigError(f"Weights.mmap is True or False; got {self.mmap!r:.80}")


def is_source(weights: str) -> bool:
    """Tells a path or a name on the hub from a provider's own tag, which has no such form."""
    return weights.startswith(HUB) or weights.lower().endswith(SUFFIXES) or "/" in weights
