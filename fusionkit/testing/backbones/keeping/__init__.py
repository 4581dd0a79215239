"""What is asked of a backbone about copies, files, compilers, and what it leaves behind."""

from __future__ import annotations

from fusionkit.testing.backbones.keeping.alone import instances_share_nothing, is_let_go
from fusionkit.testing.backbones.keeping.casts import (
    casting_leaves_nothing_behind,
    takes_channels_last,
)
from fusionkit.testing.backbones.keeping.compiled import compiles_as_declared
from fusionkit.testing.backbones.keeping.copies import deepcopy_is_independent
from fusionkit.testing.backbones.keeping.described import rebuild_is_enough, repr_works
from fusionkit.testing.backbones.keeping.exported import exports_as_declared
from fusionkit.testing.backbones.keeping.files import saves_and_loads, weights_file_round_trip
from fusionkit.testing.backbones.keeping.pickles import pickle_round_trip
from fusionkit.testing.backbones.keeping.replaced import fills_from_meta, functional_call_works
from fusionkit.testing.backbones.keeping.states import (
    loading_replaces_everything,
    state_dict_is_complete,
    state_fits_a_file,
)
from fusionkit.testing.backbones.keeping.stock import keys_are_stock_keys
from fusionkit.testing.backbones.keeping.traces import touches_nothing_global
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Check

__all__ = ["CHECKS"]

CHECKS: tuple[Check[BackboneSubject], ...] = (
    repr_works,
    rebuild_is_enough,
    keys_are_stock_keys,
    state_fits_a_file,
    pickle_round_trip,
    touches_nothing_global,  # leaves a used backbone for the next four, so that none is built anew
    instances_share_nothing,
    deepcopy_is_independent,
    state_dict_is_complete,
    is_let_go,
    loading_replaces_everything,
    functional_call_works,
    casting_leaves_nothing_behind,
    takes_channels_last,
    weights_file_round_trip,
    saves_and_loads,
    fills_from_meta,
    compiles_as_declared,
    exports_as_declared,
)
