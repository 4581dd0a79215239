"""Situations that make no difference to a head are asked once."""

from __future__ import annotations

import torch
from evil_head_reads import FlattensMaps, ReadsMoreQuietly
from evil_heads import Good
from torch import nn

from fusionkit.testing.heads.subject import HeadSubject

VECTORS = ["1 branch", "2 branches", "3 branches", "2 equal branches"]


class WiderWithClassifiers(Good):
    """Reads no logits, and is another where there are some."""

    def make(self, inputs):
        super().make(inputs)
        if any(each.num_classes for each in inputs.values()):
            self.bias = nn.Parameter(torch.zeros(self.num_classes))


def titles(head):
    return [case.title for case in HeadSubject(head).cases]


def test_a_head_on_vectors_does_not_see_classifiers_nor_maps():
    assert titles(Good) == VECTORS
    assert len(HeadSubject(Good).all_cases) == 10


def test_a_head_on_maps_sees_a_branch_without():
    assert set(VECTORS) <= set(titles(FlattensMaps))
    assert not [title for title in titles(FlattensMaps) if "with classifiers" in title]


def test_a_head_that_is_built_otherwise_is_asked_again():
    assert titles(WiderWithClassifiers) == [
        "1 branch", "1 branch with classifiers", "2 branches", "2 branches with classifiers",
        "3 branches", "3 branches with classifiers", "2 equal branches",
        "2 equal branches with classifiers",
    ]  # fmt: skip


def test_one_that_breaks_its_word_is_found_in_all_situations():
    assert titles(ReadsMoreQuietly) == VECTORS
    assert len(HeadSubject(ReadsMoreQuietly).all_cases) > len(VECTORS)
