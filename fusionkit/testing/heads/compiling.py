"""Whether a head goes through the compilers; slow, and asked by name."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from torch import Tensor, nn

from fusionkit.features import Features
from fusionkit.head import FusionHead
from fusionkit.testing.check import Check, Finding, NotApplicableError, check
from fusionkit.testing.heads.each import ROUNDING, distance
from fusionkit.testing.heads.learning import backward
from fusionkit.testing.heads.subject import HeadCase, HeadSubject

__all__ = ["CHECKS"]

BATCHES = (1, 2, 7)
BUILD = 4
GRAPH = (
    "decide nothing by the values of tensors in forward, and call no .item(), .tolist() or numpy; "
    "what depends on the branches alone belongs to __init__"
)


class BehindTensors(nn.Module):
    """A head that takes tensors one after the other, as compilers hand them over."""

    def __init__(self, head: FusionHead, features: Mapping[str, Features]) -> None:
        super().__init__()
        self.head = head
        self.form = {
            name: (each.vector is not None, len(each.maps), each.logits is not None)
            for name, each in features.items()
        }

    def forward(self, *tensors: Tensor) -> Any:
        """Gives the head's answer."""
        rest = list(tensors)
        features = {}
        for name, (vector, maps, logits) in self.form.items():
            features[name] = Features(
                rest.pop(0) if vector else None,
                tuple(rest.pop(0) for _ in range(maps)),
                rest.pop(0) if logits else None,
            )
        return self.head(features)


def _tensors(features: Mapping[str, Features]) -> tuple[Tensor, ...]:
    return tuple(
        value
        for each in features.values()
        for value in (each.vector, *each.maps, each.logits)
        if value is not None
    )


@check(f"make torch.compile(fullgraph=True) take forward: {GRAPH}", slow=True)
def compiles(subject: HeadSubject) -> Iterator[Finding]:
    """``torch.compile`` takes it as one graph, forward and backward, with the same answer."""
    case = subject.main
    head = case.build()
    whole = BehindTensors(head, case.features())
    torch._dynamo.reset()
    try:
        compiled = torch.compile(whole, fullgraph=True, backend="eager")
        answer = compiled(*_tensors(case.features()))
    finally:
        torch._dynamo.reset()
    if answer.requires_grad:
        backward(answer)
    yield from _compare(answer.detach(), case, 4, "the compiled head")


def _compare(actual: Tensor, case: HeadCase, batch: int, what: str) -> Iterator[Finding]:
    gap = distance(actual, case.answer(batch=batch))
    if gap > ROUNDING:
        yield Finding(f"{what} answers otherwise for {batch} samples, by {gap:.2g}", GRAPH)


def _export(case: HeadCase) -> torch.export.ExportedProgram:
    features = case.features(batch=BUILD)
    whole = BehindTensors(case.build(), features).eval()
    tensors = _tensors(features)
    batch = torch.export.Dim("batch", min=1, max=1024)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", FutureWarning)  # torch's own
        return torch.export.export(
            whole, tensors, dynamic_shapes={"tensors": tuple({0: batch} for _ in tensors)}
        )


@check(f"make torch.export take forward with any batch size: {GRAPH}", slow=True)
def exports(subject: HeadSubject) -> Iterator[Finding]:
    """``torch.export`` takes it in eval mode with a batch of any size, with the same answer."""
    case = subject.main
    program = _export(case).module()
    for batch in BATCHES:
        with torch.no_grad():
            answer = program(*_tensors(case.features(batch=batch)))
        yield from _compare(answer, case, batch, "the exported head")


@check(f"use operators that ONNX has, and {GRAPH}", slow=True)
def exports_to_onnx(subject: HeadSubject) -> Iterator[Finding]:
    """An ONNX file of it gives the same answer in ONNX Runtime."""
    missing = [name for name in ("onnx", "onnxscript", "onnxruntime") if find_spec(name) is None]
    if missing:
        raise NotApplicableError(f"{', '.join(missing)} is not installed")
    onnxruntime: Any = import_module("onnxruntime")
    case = subject.main
    program = _export(case)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the exporter's own
        exported = torch.onnx.export(program, verbose=False)
    assert exported is not None
    with TemporaryDirectory() as folder:
        file = str(Path(folder) / "head.onnx")
        exported.save(file)
        session = onnxruntime.InferenceSession(file, providers=["CPUExecutionProvider"])
    names = [each.name for each in session.get_inputs()]
    for batch in BATCHES:
        tensors = _tensors(case.features(batch=batch))
        given = {name: tensor.numpy() for name, tensor in zip(names, tensors, strict=True)}
        answer = torch.from_numpy(session.run(None, given)[0])
        yield from _compare(answer, case, batch, "the ONNX file")


CHECKS: tuple[Check[HeadSubject], ...] = (compiles, exports, exports_to_onnx)
