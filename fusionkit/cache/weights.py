"""What a branch's tensors are, as a checksum, and a quick look at whether they have changed."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from functools import cache
from itertools import chain
from weakref import WeakKeyDictionary

import torch
from torch import Tensor, nn

from fusionkit.errors import CacheError

__all__ = ["Weights"]

ROW = 1 << 14
"""How many words have factors of their own; the factors of the next row are other multiples."""
Glance = tuple[tuple[object, ...], ...]


class Weights:
    """Gives checksums of modules' tensors, and computes one again only where they have changed."""

    def __init__(self) -> None:
        self._known: WeakKeyDictionary[nn.Module, tuple[Glance, str]] = WeakKeyDictionary()

    def checksum(self, module: nn.Module) -> str:
        """Gives the SHA-256 of all parameters and buffers with their names, shapes and types.

        Buffers that are not saved with the module count too.

        Raises:
            CacheError: a tensor has no values that could be read.
        """
        now = glance(module)
        known = self._known.get(module)
        if known is None or known[0] != now:
            known = now, _digest(module)
            self._known[module] = known
        return known[1]


def glance(module: nn.Module) -> Glance:
    """Gives what changes when any of a module's tensors does, in a fraction of the time.

    It has torch's own count of changes in place, and sums of the values' bits, weighted by where
    they stand, since what is written through ``.data`` is not counted.
    """
    return tuple(
        (name, id(value), value._version, tuple(value.shape), value.dtype, _bits(value))
        for name, value in _tensors(module)
    )


def _digest(module: nn.Module) -> str:
    digest = hashlib.sha256()
    for name, value in _tensors(module):
        if value.is_meta or value.layout is not torch.strided or value.is_quantized:
            raise CacheError(
                f"{name!r} is {'on the meta device' if value.is_meta else 'no plain tensor'}, so "
                "it cannot be told which weights the features come from; write cache=False"
            )
        plain = value.detach().cpu().resolve_conj().resolve_neg().contiguous()
        digest.update(f"{name}\0{plain.dtype}\0{tuple(plain.shape)}\0".encode())
        if plain.numel():
            digest.update(plain.reshape(-1).view(torch.uint8).numpy().data)
    return digest.hexdigest()


def _tensors(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    return chain(
        module.named_parameters(remove_duplicate=False),
        module.named_buffers(remove_duplicate=False),
    )


def _bits(value: Tensor) -> int:
    """Gives the sum of a tensor's bits, taken as whole numbers times other ones at each place."""
    if value.is_meta or value.layout is not torch.strided or value.is_quantized:
        return 0
    flat = value.detach()
    if not flat.numel():
        return 0
    flat = torch.view_as_real(flat) if flat.is_complex() else flat
    raw = flat.contiguous().view(-1).view(torch.uint8)
    whole = len(raw) - len(raw) % 8
    if raw.storage_offset() % 8:
        raw = raw.clone()
    words = raw[:whole].view(torch.int64)
    factors = _factors(flat.device)
    full = len(words) // ROW
    rows, rest = words[: full * ROW].view(full, ROW), words[full * ROW :]
    if flat.device.type == "cpu":
        sums = rows @ factors
    else:  # which multiplies no matrices of whole numbers
        parts = [rows[start : start + 256] for start in range(0, max(full, 1), 256)]
        sums = torch.cat([(part * factors).sum(1) for part in parts])
    odd = torch.arange(full, device=flat.device) * 2 + 1
    tail = sum((place + 1) * byte for place, byte in enumerate(raw[whole:].tolist()))
    last = (rest * factors[: len(rest)]).sum() * (2 * full + 1)
    return int((sums * odd).sum() + last) + int(tail)


@cache
def _factors(device: torch.device) -> Tensor:
    """Gives the factors of a row, the same always.

    They are odd, so that no bit of a word is lost where a sum overflows.
    """
    dice = torch.Generator().manual_seed(0)
    return (torch.randint(2**62, (ROW,), generator=dice) * 2 + 1).to(device)
