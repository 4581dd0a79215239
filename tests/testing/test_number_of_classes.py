"""A classifier of any number of classes is asked, where one says how many it has."""

from __future__ import annotations

from functools import partial

import pytest
from sound_backbone import WIDTH, Sound, factory
from torch import nn

import fusionkit.testing as kit

NAME = "classifier_is_kept_on_request"


class OfTwelve(Sound):
    """Has a classifier of twelve classes, and no other."""

    has = 12

    def __init__(self, in_channels: int = 3, num_classes: int | None = None) -> None:
        super().__init__(in_channels, 5 if num_classes == 12 else None)
        if num_classes == 12:
            self.num_classes = 12
            self.fc = nn.Linear(WIDTH, self.has)


class GivesSeven(OfTwelve):
    has = 7


@pytest.mark.parametrize("partly", [False, True], ids=["said", "partial"])
def test_what_is_said_is_tried(partly: bool) -> None:
    def ask(kind: type[Sound]) -> kit.Outcome:
        make = factory(kind)
        if partly:
            make, said = partial(make, num_classes=12), None
        else:
            said = 12
        return kit.check_backbone(make, num_classes=said, only=[NAME], on_fail="report")[NAME]

    assert ask(OfTwelve).status == "passed"
    (finding,) = ask(GivesSeven).findings
    assert finding.what == "num_classes is 12, but the logits of a batch of 2 are (2, 7)"
    (finding,) = ask(Sound).findings
    assert finding.what == "built with num_classes=12, it has num_classes=None"
    assert "set num_classes" in finding.todo


def test_each_check_as_a_test_of_its_own_takes_it_too() -> None:
    (one,) = (each for each in kit.backbone_checks(num_classes=12) if str(each) == NAME)
    one(factory(OfTwelve))
    with pytest.raises(kit.ConformanceError, match=r"the logits of a batch of 2 are \(2, 7\)"):
        one(factory(GivesSeven))


def test_without_a_word_it_says_what_was_tried() -> None:
    report = kit.check_backbone(factory(OfTwelve), only=[NAME])
    assert report[NAME].cause == (
        "it gives no classifier for 5 or 1000 classes; if it has one for others, say num_classes="
    )
