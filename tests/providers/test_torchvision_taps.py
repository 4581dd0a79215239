"""The hooks in a trunk: nothing of a pass stays, threads and compilers do not mind them."""

from __future__ import annotations

import gc
import threading
import weakref

import pytest
import torch
from torch import Tensor, nn
from torchvision_zoo import perturb

from fusionkit import Backbone, Features, Reads
from fusionkit.providers.torchvision import taps
from fusionkit.providers.torchvision.build import build_backbone

REQUESTS = {
    "vector": Reads(vector=True),
    "maps": Reads(maps=(0, 3)),
    "all": Reads(vector=True, maps=(2, 4), logits=True),
}


@pytest.fixture(scope="module")
def backbone() -> Backbone:
    torch.manual_seed(0)
    backbone = build_backbone("resnet18", num_classes=1000)
    perturb(backbone.trunk, torch.randn(2, 3, 64, 64))
    return backbone.eval()


@pytest.fixture(scope="module")
def x() -> Tensor:
    return torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))


class Given(nn.Module):
    """Gives only what was read, as an exporter wants it."""

    def __init__(self, backbone: Backbone, reads: Reads) -> None:
        super().__init__()
        self.backbone = backbone
        self.reads = reads

    def forward(self, x: Tensor) -> tuple[Tensor, ...]:
        return tensors(self.backbone(x, self.reads))


def tensors(features: Features) -> tuple[Tensor, ...]:
    given = (features.vector, *features.maps, features.logits)
    return tuple(value for value in given if value is not None)


def test_a_trunk_called_by_itself_is_an_ordinary_one(backbone: Backbone, x: Tensor) -> None:
    logits = backbone(x, Reads(vector=True, logits=True)).logits

    assert torch.equal(backbone.trunk(x), logits)


@pytest.mark.parametrize("reads", REQUESTS.values(), ids=REQUESTS)
def test_nothing_of_a_pass_is_kept(backbone: Backbone, x: Tensor, reads: Reads) -> None:
    features = backbone(x, reads)
    alive = [weakref.ref(value) for value in tensors(features)]

    del features
    gc.collect()

    assert [ref() for ref in alive] == [None] * len(alive)
    assert taps._OPEN.current is None


def test_an_error_in_the_trunk_closes_the_pass(backbone: Backbone, x: Tensor) -> None:
    with pytest.raises(RuntimeError, match="channels"):
        backbone(x[:, :2], Reads(vector=True))

    assert taps._OPEN.current is None
    assert backbone(x, Reads(vector=True)).vector.shape == (2, 512)


def test_threads_do_not_mix_their_passes(backbone: Backbone) -> None:
    inputs = [torch.randn(1, 3, 64, 64) for _ in range(4)]
    requests = [*REQUESTS.values(), Reads(logits=True)]
    expected = [tensors(backbone(x, reads)) for x, reads in zip(inputs, requests, strict=True)]
    results: list[list[tuple[Tensor, ...]]] = [[] for _ in inputs]
    start = threading.Barrier(len(inputs))

    def run(index: int) -> None:
        start.wait()
        for _ in range(10):
            results[index].append(tensors(backbone(inputs[index], requests[index])))

    threads = [threading.Thread(target=run, args=(index,)) for index in range(len(inputs))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    for own, wanted in zip(results, expected, strict=True):
        assert len(own) == 10
        for given in own:
            assert all(map(torch.equal, given, wanted))


@pytest.mark.parametrize("reads", REQUESTS.values(), ids=REQUESTS)
def test_compiles_in_one_graph(backbone: Backbone, x: Tensor, reads: Reads) -> None:
    model = Given(backbone, reads)
    expected = model(x)
    torch.compiler.reset()

    given = torch.compile(model, fullgraph=True, backend="eager")(x)

    assert all(map(torch.equal, given, expected))
    assert taps._OPEN.current is None


# The strict exporter says that the pass was opened, though it is closed again.
@pytest.mark.filterwarnings("ignore:While compiling, we found certain side effects:UserWarning")
@pytest.mark.parametrize("strict", [False, True])
@pytest.mark.parametrize("reads", REQUESTS.values(), ids=REQUESTS)
def test_exports_with_any_batch(backbone: Backbone, x: Tensor, reads: Reads, strict: bool) -> None:
    model = Given(backbone, reads)
    shapes = {"x": {0: torch.export.Dim("batch", min=1)}}

    program = torch.export.export(model, (x,), dynamic_shapes=shapes, strict=strict)

    for batch in (x, x[:1], x.repeat(3, 1, 1, 1)):
        given = program.module()(batch)
        for value, wanted in zip(given, model(batch), strict=True):
            torch.testing.assert_close(value, wanted)


@pytest.mark.filterwarnings("ignore:.*LeafSpec:FutureWarning")  # torch 2.11 itself
def test_a_lowered_export_leaves_out_what_is_not_read(backbone: Backbone, x: Tensor) -> None:
    def count(reads: Reads) -> int:
        program = torch.export.export(Given(backbone, reads), (x,)).run_decompositions()
        return sum("convolution" in str(node.target) for node in program.graph.nodes)

    assert count(Reads(maps=(1,))) == 5
    assert count(Reads(vector=True)) == 20


def test_token_and_channels_last_trunks_compile() -> None:
    for name, size, options in (("vit_b_32", 64, {"image_size": 64}), ("swin_t", 64, {})):
        backbone = build_backbone(name, num_classes=1000, **options).eval()
        model = Given(backbone, Reads(vector=True, maps=(0, 3), logits=True))
        x = torch.randn(2, 3, size, size)
        torch.compiler.reset()
        given = torch.compile(model, fullgraph=True, backend="eager")(x)
        for value, wanted in zip(given, model(x), strict=True):
            torch.testing.assert_close(value, wanted)
