"""Whether the provider's own classifier is kept when it is asked for, and only then."""

from __future__ import annotations

from collections.abc import Iterator
from copy import deepcopy
from dataclasses import replace
from typing import Any

import torch
from torch import Tensor
from torch.utils import _pytree as pytree

from fusionkit.assembly.options import makes_classifiers
from fusionkit.backbone.contract import Backbone
from fusionkit.features import Features, Reads
from fusionkit.model.anatomy import trunk_of
from fusionkit.testing.backbones.forward.anatomy import tell_misplaced
from fusionkit.testing.backbones.forward.compare import NOISE, deviation, differences, named
from fusionkit.testing.backbones.forward.steadiness import require_steady
from fusionkit.testing.backbones.subject import BackboneSubject
from fusionkit.testing.check import Finding, check

__all__ = ["classifier_is_kept_on_request"]

NEW_CLASSES = 7


@check("make forward give Features(logits=...) when reads.logits and num_classes is set")
def classifier_is_kept_on_request(subject: BackboneSubject) -> Iterator[Finding]:
    """Asked for by its number of classes it gives logits "b k", beside the same vector.

    So does one that is made anew, of any number, if the factory takes ``new_classifier``.
    """
    subject.require("num_classes")
    said, built = subject.num_classes, subject.classifying
    if said is not None and (built is None or built.num_classes != said):
        yield Finding(
            f"built with num_classes={said}, it has num_classes="
            f"{subject.build_without_data(num_classes=said).num_classes}",
            "keep its own classifier where so many classes are asked for, and set num_classes; if "
            "it has others, tell the kit how many",
        )
        return
    backbone = subject.copy_classifying()
    count = backbone.num_classes
    if subject.pristine.num_classes is not None:
        yield Finding(
            f"built with num_classes=None, num_classes is {subject.pristine.num_classes}",
            "drop the classifier unless it was asked for, and set num_classes to None",
        )
    known = list(tell_misplaced(subject.pristine))  # told by every_parameter_is_in_one_block
    for finding in tell_misplaced(backbone) if not known else ():
        yield replace(finding, what=f"with its classifier kept, {finding.what}")
    answer: Any = subject.run(backbone, subject.example(), Reads(logits=True))
    logits = answer.logits if isinstance(answer, Features) else None
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (2, count):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        yield Finding(
            f"num_classes is {count}, but the logits of a batch of 2 are {shape}",
            "set num_classes to the classes that the classifier really has, None if it has not "
            "those that were asked for",
        )
    elif not logits.is_meta and not bool(logits.isfinite().all()):
        yield Finding("the logits are not finite", "give scores before any softmax or logarithm")
    elif _sums_to_one(logits):
        yield Finding("the logits are probabilities", "give scores before any softmax")
    if answer.vector is not None or len(answer.maps):
        yield Finding(
            "where only logits are read, a vector or maps come too",
            "leave at None, or (), what reads does not ask for",
        )
    if isinstance(logits, Tensor) and not logits.is_meta:
        yield from _logits_hold(subject, backbone, answer)
    yield from _same_vector(subject, backbone)
    if makes_classifiers(subject.make):
        yield from _made_anew(subject)


def _logits_hold(
    subject: BackboneSubject, backbone: Backbone, alone: Features
) -> Iterator[Finding]:
    """Tells of logits that are others each time, with what else is read, or with the batch.

    Where the vector is so too, another check says it.
    """
    reads, both = Reads(logits=True), Reads(vector=True, logits=True)
    require_steady(subject)
    again = subject.run(backbone, subject.example(), reads)
    for what in differences(again, alone, reads):
        yield Finding(
            f"the same question again: {what}",
            "let the classifier draw no number in eval mode: F.dropout(x, p, self.training)",
        )
        return
    everything = Reads(vector=True, maps=subject.reads.levels, logits=True)
    beside = subject.run(backbone, subject.example(), everything)
    for what in differences(beside, alone, reads):
        yield Finding(
            f"read with the vector and all maps: {what}, compared with logits alone",
            "go through the same layers to the classifier, whatever else is read",
        )
    mixed = pytree.tree_map_only(Tensor, _with_other_mates, subject.example())
    first, second = (
        {name: value[:1] for name, value in named(subject.run(backbone, x, both), both).items()}
        for x in (subject.example(), mixed)
    )
    gaps = {name: deviation(value, first[name]) for name, value in second.items()}
    if gaps["logits"] > NOISE and not gaps["vector"] > NOISE:
        yield Finding(
            f"with another sample beside it, a sample's logits change by {gaps['logits']:.2g} of "
            "the largest",
            "let the classifier take a sample by itself, never means or softmax along the batch",
        )
    wanted = {name: tuple(value.shape) for name, value in named(beside, both).items()}
    vector = named(_trained(subject, backbone, Reads(vector=True)), both).get("vector")
    if vector is None or tuple(vector.shape) != wanted["vector"]:
        return
    logits = named(_trained(subject, backbone, both), both).get("logits")
    shape = None if logits is None else tuple(logits.shape)
    if shape != wanted["logits"]:
        yield Finding(
            f"in train mode the logits are {shape}, not {wanted['logits']}",
            "give the same shapes in both modes; leave auxiliary outputs out",
        )


def _trained(subject: BackboneSubject, backbone: Backbone, reads: Reads) -> Features:
    return subject.run(deepcopy(backbone).train(), subject.example(), reads)


def _with_other_mates(value: Tensor) -> Tensor:
    """Gives a batch whose first sample is what it was, and the others what the first is."""
    return torch.cat([value[:1]] * len(value)) if value.ndim else value


def _made_anew(subject: BackboneSubject) -> Iterator[Finding]:
    """Says what is wrong with a classifier of a number of classes that no stock one has."""
    built = subject.build_new_classifier(NEW_CLASSES)
    if not isinstance(built, Backbone) or built.num_classes != NEW_CLASSES:
        yield Finding(
            f"built with new_classifier=True and num_classes={NEW_CLASSES}, it has num_classes="
            f"{getattr(built, 'num_classes', None)}",
            "make a classifier of so many classes there, or take no new_classifier",
        )
        return
    answer: Any = subject.run(built.eval(), subject.example(), Reads(logits=True))
    logits = answer.logits if isinstance(answer, Features) else None
    if not isinstance(logits, Tensor) or tuple(logits.shape) != (2, NEW_CLASSES):
        shape = tuple(logits.shape) if isinstance(logits, Tensor) else type(logits).__name__
        yield Finding(
            f"made anew for {NEW_CLASSES} classes, the logits of a batch of 2 are {shape}",
            "make a classifier of so many classes there, or take no new_classifier",
        )


def _sums_to_one(logits: Tensor) -> bool:
    sums = logits.sum(1)
    return bool((logits >= 0).all()) and bool(((sums - 1).abs() < 1e-4).all())


def _same_vector(subject: BackboneSubject, backbone: Any) -> Iterator[Finding]:
    trunk = trunk_of(backbone)
    whole, part = trunk.state_dict(), trunk_of(subject.pristine).state_dict()
    renamed = [name for name in part if name not in whole]
    if renamed:
        yield Finding(
            f"without its classifier the trunk has other names, such as {renamed[0]}",
            "keep all other layers where they are when the classifier is dropped",
        )
        return
    whole.update(part)  # with what the layers say of its version
    trunk.load_state_dict(whole)
    require_steady(subject)
    reads = Reads(vector=True, logits=True)
    with_logits = subject.run(backbone, subject.example(), reads)
    for what in differences(with_logits, subject.answer, Reads(vector=True)):
        yield Finding(
            f"with its classifier kept, {what}",
            "give as vector what the classifier is given, whether it is there or not",
        )
