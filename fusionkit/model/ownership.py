"""Makes sure that no tensor belongs to two branches."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import chain

from torch import Tensor, nn

from fusionkit.errors import AssemblyError

__all__ = ["refuse_sharing"]


def refuse_sharing(modules: Mapping[str, nn.Module]) -> None:
    """Refuses a tensor that stands in two branches: freezing one would freeze the other.

    Two tensors over the same memory are one tensor: training one would move the other.

    Args:
        modules: the branches by name, and the head.

    Raises:
        AssemblyError: names both branches and the tensor.
    """
    owners: dict[tuple[str, int], str] = {}
    for name, module in modules.items():
        for path, tensor in chain(module.named_parameters(), module.named_buffers()):
            for key in _identities(tensor):
                owner = owners.setdefault(key, name)
                if owner != name:
                    raise AssemblyError(
                        f"{owner!r} and {name!r} share the tensor {path!r}; a factory must build "
                        "a new module, with tensors of its own, at each call"
                    )


def _identities(tensor: Tensor) -> Iterator[tuple[str, int]]:
    yield "object", id(tensor)
    if type(tensor) in (Tensor, nn.Parameter) and not tensor.is_meta and tensor.numel():
        yield str(tensor.device), tensor.untyped_storage().data_ptr()
