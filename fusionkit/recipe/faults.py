"""What pydantic found wrong with a recipe, in words that name the field and the way out."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Any

from fusionkit.errors import did_you_mean
from fusionkit.policy.lr import LR
from fusionkit.preprocessing import Preprocessing
from fusionkit.recipe.values import Branch, Head, Recipe

if TYPE_CHECKING:
    from pydantic import ValidationError
    from pydantic_core import ErrorDetails

__all__ = ["explain"]

Owner = Callable[[tuple[str, ...]], type[Any]]


def explain(
    error: ValidationError,
    data: Mapping[str, Any],
    owner: Owner | None = None,
    within: str = "",
) -> str:
    """Gives the first fault as ``"branches.rgb.lr.scal: there is no such field. ..."``.

    Args:
        error: what the validation of ``data`` raised.
        data: with its short forms written out.
        owner: gives the type of what stands at a place; by default that of a recipe.
        within: the field that ``data`` itself stands in.
    """
    owner = owner or _owner
    faults: dict[tuple[str, ...], list[ErrorDetails]] = {}
    details = error.errors(include_url=False)
    # A misspelt field is also a missing one; its own name says more.
    details.sort(key=lambda detail: detail["type"] != "unexpected_keyword_argument")
    for detail in details:
        faults.setdefault(_place(detail, data), []).append(detail)
    place, first = next(iter(faults.items()))
    path = ".".join([*([within] if within else []), *map(_shown, place)])
    message = _message(place, first, owner)
    more = f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    return f"{path}: {message}{more}" if path else message + more


def _place(detail: ErrorDetails, data: Any) -> tuple[str, ...]:
    """Gives the path of the field as it was written, without pydantic's names for union arms."""
    place: list[str] = []
    for part in detail["loc"]:
        inside = dict(enumerate(data)) if isinstance(data, list) else data
        is_there = isinstance(inside, Mapping) and part in inside
        if not is_there and detail["type"] != "missing":
            break
        data = inside[part] if is_there else None
        place.append(str(part))
    return tuple(place)


def _message(place: tuple[str, ...], details: list[ErrorDetails], owner: Owner) -> str:
    detail = details[0]
    if detail["type"] == "missing":
        return "is missing"
    if detail["type"] == "unexpected_keyword_argument":
        return "there is no such field." + _fields_instead(place, owner)
    if detail["type"] == "value_error":
        return str(detail["ctx"]["error"])
    if detail["type"] == "dataclass_type":
        wanted = _SHORT_FORMS.get(owner(place), "a mapping")
    else:
        arms = dict.fromkeys(arm["msg"].removeprefix("Input should be ") for arm in details)
        wanted = " or ".join(_WORDS.get(arm, arm) for arm in arms)
    return f"must be {wanted}, got {json.dumps(detail['input'])[:80]}"


def _fields_instead(place: tuple[str, ...], owner: Owner) -> str:
    kind = owner(place[:-1])
    known = [field.name for field in fields(kind)]
    if kind is Recipe:
        known.append("format")
    near = did_you_mean(place[-1], known)
    if near or kind not in (Branch, Head):
        return near or f" The fields are {', '.join(known)}."
    which = "the head" if kind is Head else "the provider"
    return f" Options of {which} stand one level deeper, under 'options'."


def _owner(place: tuple[str, ...]) -> type[Any]:
    """Gives the value that stands at a place; a branch may bear the name of a field."""
    if not place:
        return Recipe
    if place[0] == "head":
        return Head
    if len(place) == 3 and place[2] in ("lr", "preprocessing"):
        return LR if place[2] == "lr" else Preprocessing
    return Branch


_WORDS = {
    "an object": "a mapping",
    "a valid array": "a list",
    "a valid boolean": "true or false",
    "a valid integer": "a whole number",
    "a valid number": "a number",
    "a valid string": "text",
}

_SHORT_FORMS = {
    Branch: "a backbone's name or a mapping",
    Head: "a head's name or a mapping",
    LR: "a number or a mapping",
}


def _shown(part: str) -> str:
    return part if part.isprintable() and len(part) <= 80 else repr(part[:80])
