"""Features of frozen branches, computed once and kept on disk.

``FeatureLoader`` gives the batches of an epoch: features of the branches that are frozen whole,
and images for those that learn. ``FeatureCache`` says where they are kept, how many bytes at most,
and how precisely; ``check_cacheable`` says why a branch cannot be cached.
"""

from __future__ import annotations

from fusionkit.cache.batch import FeatureBatch
from fusionkit.cache.cacheable import check_cacheable
from fusionkit.cache.loader import FeatureLoader
from fusionkit.cache.store import FeatureCache

__all__ = ["FeatureBatch", "FeatureCache", "FeatureLoader", "check_cacheable"]
