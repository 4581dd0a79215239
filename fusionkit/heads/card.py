"""``Card``, under the name by which the heads of this folder know it."""

from fusionkit import Card

__all__ = ["Card"]
