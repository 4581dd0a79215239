"""What holds for each head under each of its options, for one, two and three branches."""

from __future__ import annotations

import copy
import io
import json
import pickle

import pytest
import torch
from torch import nn
from toy_features import NAMES, NUM_CLASSES, leaves, make_features, make_inputs, perturb

import fusionkit as fk
from fusionkit.heads.plugin import fusionkit_heads

AVERAGES = ("mean_logits", "mean_probabilities", "mean_log_probabilities")
CASES = [
    *[(name, {}) for name in AVERAGES],
    *[(name, {"weights": "learned", "temperature": "learned"}) for name in AVERAGES],
    ("mean_probabilities", {"temperature": {"audio": 2.5}, "norm": "l2"}),
    ("mean_logits", {"norm": "batch", "temperature": 0.5}),
    ("concat", {}),
    ("concat", {"norm": "batch"}),
    ("concat", {"norm": "none", "project": 6, "hidden": 8, "activation": "gelu"}),
    ("concat", {"norm": {"audio": "l2"}, "project": {"audio": 9}, "hidden": [8, 5]}),
    ("concat", {"dropout": 0.25, "hidden": [8], "activation": "tanh"}),
    ("two_stream", {}),
    ("two_stream", {"weights": "learned", "norm": "none"}),
    *[("two_stream_maps", {"fusion": kind}) for kind in ("sum", "max", "concat", "conv")],
    ("two_stream_maps", {"fusion": "sum", "width": 4, "hidden": None, "norm": "none"}),
    ("two_stream_maps", {"fusion": "concat", "width": 5, "level": 0, "dropout": 0.25}),
    ("two_stream_maps", {"fusion": "conv", "width": 5, "level": {"audio": -2}, "hidden": 3}),
]
IDS = [f"{name}-{json.dumps(options)}" for name, options in CASES]

each_head = pytest.mark.parametrize(("name", "options"), CASES, ids=IDS)
each_count = pytest.mark.parametrize("count", [1, 2, 3])


def build(name, options, count=3, classifiers=(), seed=0):
    inputs = make_inputs(count, classifiers=classifiers)
    torch.manual_seed(seed)
    return fusionkit_heads()[name](inputs, num_classes=NUM_CLASSES, **options), inputs


def needs_batch(options):
    return options.get("norm") == "batch"


class Fused(nn.Module):
    """A head behind tensors, as the assembled model has it."""

    def __init__(self, head, features):
        super().__init__()
        self.head = head
        self.form = {
            name: (f.vector is not None, len(f.maps), f.logits is not None)
            for name, f in features.items()
        }

    def forward(self, *tensors):
        rest = list(tensors)
        features = {}
        for name, (vector, maps, logits) in self.form.items():
            features[name] = fk.Features(
                vector=rest.pop(0) if vector else None,
                maps=tuple(rest.pop(0) for _ in range(maps)),
                logits=rest.pop(0) if logits else None,
            )
        return self.head(features)


@each_head
@each_count
def test_every_parameter_gets_a_gradient_and_can_learn(name, options, count):
    head, inputs = build(name, options, count)
    perturb(head)
    logits = head(make_features(head, inputs))
    assert logits.shape == (3, NUM_CLASSES)
    nn.functional.cross_entropy(logits, torch.tensor([0, 1, 3])).backward()
    for key, parameter in head.named_parameters():
        assert parameter.grad is not None, key
        # The softmax over one branch is constant, so its only weight cannot move.
        if not (count == 1 and key == "weights.log_weights"):
            assert parameter.grad.abs().max() > 0, key


@each_head
def test_one_sample_in_training(name, options):
    head, inputs = build(name, options)
    features = make_features(head, inputs, batch=1)
    if needs_batch(options):
        with pytest.raises(fk.DataError, match="branch 'audio': norm='batch' needs"):
            head.train()(features)
        assert head.eval()(features).isfinite().all()
    else:
        assert head.train()(features).isfinite().all()


@each_head
def test_order_of_the_features_changes_no_bit(name, options):
    head, inputs = build(name, options, classifiers=["image"] if "mean" in name else ())
    perturb(head)
    head.eval()
    features = make_features(head, inputs)
    expected = head(features)
    for order in (NAMES[::-1], ("image", "audio", "text")):
        assert torch.equal(head({key: features[key] for key in order}), expected)


@each_head
def test_f025_order_of_the_inputs_changes_no_bit(name, options):
    head, inputs = build(name, options)
    torch.manual_seed(0)
    backwards = dict(reversed(inputs.items()))
    other = fusionkit_heads()[name](backwards, num_classes=NUM_CLASSES, **options)
    features = make_features(head, inputs)
    head.eval()
    other.eval()
    assert list(head.state_dict()) == list(other.state_dict())
    assert torch.equal(head(features), other(features))


@each_head
def test_each_branch_counts(name, options):
    head, inputs = build(name, options)
    perturb(head)
    features = make_features(head, inputs, requires_grad=True)
    head.eval()(features).square().sum().backward()
    for key, feature in features.items():
        assert all(leaf.grad.abs().max() > 0 for leaf in leaves({key: feature})), key


@each_head
def test_copies_pickles_and_saved_states_give_the_same_bits(name, options):
    head, inputs = build(name, options)
    perturb(head)
    head.eval()
    features = make_features(head, inputs)
    expected = head(features)
    assert torch.equal(copy.deepcopy(head)(features), expected)
    assert torch.equal(pickle.loads(pickle.dumps(head))(features), expected)
    file = io.BytesIO()
    torch.save(head.state_dict(), file)
    file.seek(0)
    fresh, _ = build(name, options, seed=1)
    fresh.load_state_dict(torch.load(file, weights_only=True), strict=True)
    assert torch.equal(fresh.eval()(features), expected)


@each_head
def test_built_on_the_meta_device_it_loads_to_the_same_bits(name, options):
    head, inputs = build(name, options)
    perturb(head)
    head.eval()
    features = make_features(head, inputs)
    with torch.device("meta"):
        fresh, _ = build(name, options)
    fresh.load_state_dict(head.state_dict(), strict=True, assign=True)
    assert torch.equal(fresh.eval()(features), head(features))


@each_head
def test_works_with_functional_call(name, options):
    head, inputs = build(name, options)
    other, _ = build(name, options, seed=1)
    features = make_features(head, inputs)
    state = {key: tensor.clone() for key, tensor in head.state_dict().items()}
    torch.manual_seed(0)
    called = torch.func.functional_call(other, state, (features,))
    torch.manual_seed(0)
    assert torch.equal(called, head(features))


@each_head
def test_compiles_to_one_graph(name, options):
    head, inputs = build(name, options, classifiers=["text"])
    perturb(head)
    head.eval()
    features = make_features(head, inputs, requires_grad=True)
    fused = Fused(head, features)
    torch._dynamo.reset()
    compiled = torch.compile(fused, fullgraph=True, backend="aot_eager")
    actual = compiled(*leaves(features))
    torch.testing.assert_close(actual, fused(*leaves(features)))
    actual.sum().backward()


@each_head
@pytest.mark.filterwarnings("ignore:.*is deprecated.*:FutureWarning")
def test_f108_exports_with_any_batch_size(name, options):
    head, inputs = build(name, options, classifiers=["text"])
    perturb(head)
    head.eval()
    features = make_features(head, inputs)
    fused = Fused(head, features).eval()
    tensors = leaves(features)
    batch = torch.export.Dim("batch", min=1, max=64)
    program = torch.export.export(
        fused, tuple(tensors), dynamic_shapes={"tensors": tuple({0: batch} for _ in tensors)}
    )
    for size in (1, 2, 7):
        other = leaves(make_features(head, inputs, batch=size, seed=size))
        torch.testing.assert_close(program.module()(*other), fused(*other))


@each_head
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_autocast_stays_near_float32(name, options, dtype):
    head, inputs = build(name, options)
    head.eval()
    features = make_features(head, inputs)
    expected = head(features)
    with torch.autocast("cpu", dtype=dtype):
        half = make_features(head, inputs, dtype=dtype)
        logits = head(half)
        nn.functional.cross_entropy(logits, torch.tensor([0, 1, 3])).backward()
    torch.testing.assert_close(logits.float(), expected, rtol=0.05, atol=0.1)
    if name.startswith("mean") or name == "two_stream":
        assert logits.dtype == torch.float32
    assert all(p.grad is not None and p.grad.isfinite().all() for p in head.parameters())


@each_head
def test_a_head_in_bfloat16_takes_features_in_bfloat16(name, options):
    head, inputs = build(name, options)
    head.to(torch.bfloat16).eval()
    assert head(make_features(head, inputs, dtype=torch.bfloat16)).isfinite().all()


@each_head
def test_options_can_stand_in_a_recipe(name, options):
    written = fk.Head(name, **options)
    head = fusionkit_heads()[name](
        make_inputs(), num_classes=NUM_CLASSES, **json.loads(json.dumps(dict(written.options)))
    )
    assert isinstance(head, fk.FusionHead)


@pytest.mark.parametrize("name", list(fusionkit_heads()))
def test_an_unknown_option_is_a_type_error(name):
    with pytest.raises(TypeError, match="hiden"):
        build(name, {"hiden": 3})


@pytest.mark.parametrize("name", list(fusionkit_heads()))
def test_the_first_line_of_the_docstring_says_what_it_is(name):
    first = fusionkit_heads()[name].__doc__.splitlines()[0]
    assert first.endswith(".")
    assert 30 < len(first) <= 90
