"""The environment variables that say which plugins may be loaded."""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from fusionkit.errors import PluginError, did_you_mean

__all__ = ["VARIABLES", "Settings"]

DISABLE = "FUSIONKIT_DISABLE_PLUGINS"
LOAD = "FUSIONKIT_LOAD_PLUGINS"
STRICT = "FUSIONKIT_STRICT_PLUGINS"
VARIABLES = (DISABLE, LOAD, STRICT)


@dataclass(frozen=True, slots=True)
class Settings:
    """Which plugins are let in.

    Attributes:
        disabled: names that are blocked, of ``FUSIONKIT_DISABLE_PLUGINS=a,b``.
        only: the only names that are let in, of ``FUSIONKIT_LOAD_PLUGINS=a,b``; empty for none,
            and ``None``, where the variable is not set, for all.
        strict: whether one plugin that fails stops everything, of
            ``FUSIONKIT_STRICT_PLUGINS=1``.
    """

    disabled: tuple[str, ...] = ()
    only: tuple[str, ...] | None = None
    strict: bool = False

    @classmethod
    def read(cls, environment: Mapping[str, str]) -> Settings:
        """Reads them from environment variables.

        Raises:
            PluginError: ``FUSIONKIT_STRICT_PLUGINS`` is neither 0 nor 1.
        """
        strict = environment.get(STRICT, "").strip()
        if strict not in ("", "0", "1"):
            raise PluginError(f"{STRICT} is 0 or 1, got {strict!r}")
        only = environment.get(LOAD)
        return cls(
            disabled=_split(environment.get(DISABLE, "")),
            only=None if only is None else _split(only),
            strict=strict == "1",
        )

    def block(self, name: str) -> str | None:
        """Gives why the plugin of that name is not let in, or ``None`` when it is."""
        if name in self.disabled:
            return f"blocked by {DISABLE}={','.join(self.disabled)}"
        if self.only is not None and name not in self.only:
            return f"not among those that {LOAD}={','.join(self.only)} lets in"
        return None

    def warn_of_unknown(self, installed: Iterable[str]) -> None:
        """Warns of names that no plugin has, so that a typo does not pass for a block."""
        known = set(installed)
        for variable, names in ((DISABLE, self.disabled), (LOAD, self.only or ())):
            for name in names:
                if name not in known:
                    warnings.warn(
                        f"{variable} names {name!r}, but no such plugin is installed."
                        + did_you_mean(name, sorted(known)),
                        stacklevel=2,
                    )


def _split(names: str) -> tuple[str, ...]:
    return tuple(name.strip() for name in names.split(",") if name.strip())
