"""Small random changes to bytes, and to the tree of a JSON text."""

from __future__ import annotations

import json
from random import Random
from typing import Any

from fuzzing.tokens import NUMBERS, PATHS, TEXTS, WORDS, ZOO

__all__ = ["Raw", "mutate_bytes", "mutate_header", "mutate_json"]

MOST = 400_000
"""No mutation makes a text longer."""


class Raw(str):
    """A scalar that is written as it is."""

    __slots__ = ()


class Pairs(list[tuple[str, Any]]):
    """A JSON object whose names may stand twice."""


def mutate_bytes(raw: bytes, chance: Random, other: bytes) -> bytes:
    """Gives bytes that differ in one place; ``other`` is another valid input, to splice with."""
    changed = bytearray(raw or b"\0")
    place, length = chance.randrange(len(changed)), chance.choice((1, 1, 2, 4, 8, 40))
    end = min(place + length, len(changed))
    match chance.randrange(11):
        case 0:
            changed[place] ^= 1 << chance.randrange(8)
        case 1:
            changed[place] = chance.randrange(256)
        case 2:
            changed[place:place] = chance.randbytes(length)
        case 3:
            del changed[place:end]
        case 4:
            del changed[place:]
        case 5:
            changed[place:place] = changed[place:end] * chance.choice((1, 2, 50, 3000))
        case 6 if other:
            start = chance.randrange(len(other))
            changed[place:] = other[start:]
        case 7:
            to = chance.randrange(len(changed))
            part = changed[place:end]
            changed[place:end] = changed[to : to + len(part)]
            changed[to : to + len(part)] = part
        case 8:
            changed[place:place] = chance.choice(WORDS).encode("utf-8", "surrogatepass")
        case 9:
            changed[place:end] = chance.choice(NUMBERS).encode()
        case _:
            changed[place:place] = chance.choice(
                (b"[", b"{", b'{"a":', b"- ", b" ")
            ) * chance.choice((3, 40, 2000, 100_000))
    return bytes(changed[:MOST])


def mutate_header(raw: bytes, chance: Random, other: bytes) -> bytes:
    """Gives a safetensors file that differs: in its length, its header's text, or its bytes."""
    way = chance.randrange(8)
    if len(raw) < 9 or way == 0:
        return mutate_bytes(raw, chance, other)
    length = int.from_bytes(raw[:8], "little")
    header, data = raw[8 : 8 + length], raw[8 + length :]
    if way == 1:
        sizes = (0, 1, 2, length - 1, length + 1, len(raw), 2**31, 2**63, 2**64 - 1, 100_000_001)
        return (chance.choice(sizes) % 2**64).to_bytes(8, "little") + raw[8:]
    if way == 2:
        data = mutate_bytes(data, chance, other)
    elif way == 3:
        header = mutate_bytes(header, chance, other)
    else:
        header = mutate_json(header, chance)
    return len(header).to_bytes(8, "little") + header + data


def mutate_json(raw: bytes, chance: Random) -> bytes:
    """Gives a JSON text of which one value, name or place has changed; other bytes as they are."""
    try:
        root = json.loads(raw, object_pairs_hook=Pairs, parse_int=Raw, parse_float=Raw)
    except (ValueError, RecursionError):
        return mutate_bytes(raw, chance, raw)
    holder = [root]
    spots = list(_spots(holder))
    inside, index = chance.choice(spots)
    _change(inside, index, chance, spots)
    return _write(holder[0]).encode("utf-8", "surrogatepass")[:MOST]


def _spots(inside: list[Any]) -> Any:
    """Gives every place of a tree: the list that holds it, and where."""
    for index, item in enumerate(inside):
        yield inside, index
        value = item[1] if isinstance(inside, Pairs) else item
        if isinstance(value, list):
            yield from _spots(value)


def _change(inside: list[Any], index: int, chance: Random, spots: list[Any]) -> None:
    item = inside[index]
    name, value = item if isinstance(inside, Pairs) else (None, item)
    there, where = chance.choice(spots)
    another = Raw(_write(there[where][1] if isinstance(there, Pairs) else there[where]))
    match chance.randrange(9):
        case 0 | 1 | 2:
            value = _scalar(chance)
        case 3 if name is not None:
            name = chance.choice((*TEXTS, *PATHS, name + " ", name.upper(), name + name))
        case 4 if len(inside) > 1:
            del inside[index]
            return
        case 5:
            inside.insert(index, item if chance.random() < 0.5 or name is None else (name, another))
        case 6:
            value = another
        case 7:
            depth = chance.choice((1, 2, 20, 40, 3000))
            value = Raw("[" * depth + _write(value)[:1000] + "]" * depth)
        case _:
            value = [value] if chance.random() < 0.5 else Pairs([(chance.choice(TEXTS), value)])
    inside[index] = value if name is None else (name, value)


def _scalar(chance: Random) -> Any:
    kind = chance.randrange(6)
    if kind < 3:
        return Raw(chance.choice(NUMBERS))
    if kind == 3:
        return Raw(chance.choice(("null", "true", "false", "[]", "{}", '[""]', "[0]", "[0,0]")))
    return chance.choice((*PATHS, *ZOO) if kind == 4 else TEXTS)


def _write(value: Any) -> str:
    if isinstance(value, Raw):
        return str(value)
    if isinstance(value, Pairs):
        return "{" + ", ".join(f"{json.dumps(n)}: {_write(v)}" for n, v in value) + "}"
    if isinstance(value, list):
        return "[" + ", ".join(map(_write, value)) + "]"
    return json.dumps(value)
