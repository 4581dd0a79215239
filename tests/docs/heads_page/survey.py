"""What there is to say of each head: its docstring, its card, its contract and its cost."""

from __future__ import annotations

import inspect
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from types import ModuleType

import torch

from fusionkit import Card, Catalog, ConfigError, FusionHead
from fusionkit.card import card_of
from fusionkit.cli.docstring import read_docstring
from fusionkit.cli.facts import FactoryOption, study_head
from fusionkit.heads.plugin import ROOMS
from heads_page.cost import Cost, offer, tabulate_cost

__all__ = ["StudiedHead", "survey_heads"]


@dataclass(frozen=True, slots=True)
class StudiedHead:
    """One head.

    Attributes:
        name: as a recipe writes it.
        room: the part of ``fusionkit.heads`` that it is in.
        card: what it says of itself.
        paragraphs: its docstring's, as Markdown; the first is one sentence.
        options: those that a recipe may set.
        takes_missing: whether it has an answer without a branch.
        trains: whether gradients can pass.
        parameters: how many there are to train, for two branches.
        fits: whether ``fusionkit.fit_head`` has something to do; of a head that is made of others
            that is theirs to say.
        tells_branches: whether it gives scores of single branches.
        costs: by width and number of branches.
    """

    name: str
    room: ModuleType
    card: Card
    paragraphs: tuple[str, ...]
    options: tuple[FactoryOption, ...]
    takes_missing: bool
    trains: bool
    parameters: int
    fits: bool
    tells_branches: bool
    costs: Mapping[tuple[int, int], Cost]


def survey_heads(
    catalog: Catalog | None = None, counted: Collection[tuple[int, int]] | None = None
) -> list[StudiedHead]:
    """Gives all heads that come with fusionkit, by room and name.

    Args:
        catalog: where they are; what is installed by default.
        counted: see ``tabulate_cost``.

    Raises:
        ConfigError: some have no card.
    """
    catalog = catalog or Catalog.installed()
    rooms = {room.__name__: room for room in ROOMS}
    factories = {name: catalog.head(name).factory for name in catalog.heads("heads")}
    cardless = [name for name, factory in factories.items() if card_of(factory) is None]
    if cardless:
        raise ConfigError(
            f"these heads have no card: {', '.join(cardless)}; the page about the heads needs one: "
            "give the class an attribute card = Card(...), as fusionkit/heads/vectors/concat.py has"
        )
    order = list(rooms)
    studied = [
        _study(catalog, name, rooms[_room_of(factory)], counted)
        for name, factory in factories.items()
    ]
    return sorted(studied, key=lambda head: order.index(head.room.__name__))


def _room_of(factory: object) -> str:
    return str(factory.__module__).rpartition(".")[0]


def _study(
    catalog: Catalog, name: str, room: ModuleType, counted: Collection[tuple[int, int]] | None
) -> StudiedHead:
    entry = catalog.head(name)
    factory = entry.factory
    facts = study_head(entry)
    assert isinstance(factory, type)
    assert issubclass(factory, FusionHead)
    assert facts.card is not None
    paragraphs, _ = read_docstring((inspect.getdoc(factory) or "").replace("``", "`"))
    with torch.device("meta"):
        head = factory(offer(2, 512), num_classes=100)
    return StudiedHead(
        name=name,
        room=room,
        card=facts.card,
        paragraphs=paragraphs,
        options=facts.options,
        takes_missing=head.takes_missing,
        trains=head.trains,
        parameters=sum(each.numel() for each in head.parameters()),
        fits=factory.fit is not FusionHead.fit and not factory.takes_catalog,
        tells_branches=factory.branch_scores is not FusionHead.branch_scores,
        costs=tabulate_cost(factory, counted),
    )
