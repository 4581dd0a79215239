"""Everything that is asked of a plugin as such, in the order in which it is asked."""

from __future__ import annotations

from fusionkit.testing.check import Check
from fusionkit.testing.plugins import factories, loading, naming
from fusionkit.testing.plugins.subject import PluginSubject

__all__ = ["PLUGIN_CHECKS"]

PLUGIN_CHECKS: tuple[Check[PluginSubject], ...] = (
    loading.is_found,
    loading.loads,
    loading.can_be_listed,
    *loading.CHECKS,
    *naming.CHECKS,
    *factories.CHECKS,
)
