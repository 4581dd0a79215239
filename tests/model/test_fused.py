"""``FusedModel`` is an ordinary module: copies, files, compilers and transforms take it."""

from __future__ import annotations

import copy
import gc
import pickle
import weakref

import pytest
import torch
from odd_toys import PLAIN, branch, build, images
from torch._dynamo.testing import CompileCounter
from toys import perturb

import fusionkit as fk

TWO = {"a": "tiny", "b": "odd"}
RAW = fk.Preprocessing(size=(16, 16), resize=20)


def pair(**options) -> fk.FusedModel:
    torch.manual_seed(0)
    model = build(
        {
            "rgb": branch("tiny", input="rgb", freeze=fk.Freeze.gradual(), preprocessing=RAW),
            "flow": branch("odd", input="flow", in_channels=5, freeze=fk.Freeze.all()),
        },
        **options,
    )
    perturb(model)
    return model


def streams(batch: int = 4, seed: int = 0):
    return {"rgb": images(batch, 3, seed=seed), "flow": images(batch, 5, seed=seed + 1)}


# wiring


def test_p9_the_order_in_which_branches_are_written_changes_nothing():
    def built(order):
        torch.manual_seed(0)
        kinds = {"a": branch("odd"), "b": branch("tiny"), "c": branch("odd")}
        return build({name: kinds[name] for name in order}).eval()

    one, other = built("abc"), built("cba")
    assert list(one.state_dict()) == list(other.state_dict())
    assert all(
        torch.equal(value, other.state_dict()[name]) for name, value in one.state_dict().items()
    )
    assert torch.equal(one(images()), other(images()))
    assert one.recipe == other.recipe
    names = [[group["name"] for group in model.param_groups(lr=0.1)] for model in (one, other)]
    assert names[0] == names[1]


@pytest.mark.parametrize("name", ["rgb", "flow"])
def test_p9_each_branch_reads_its_own_input(name):
    model = pair().eval()
    x = streams()
    ablated = {**x, name: torch.zeros_like(x[name])}
    assert not torch.equal(model(x), model(ablated))
    before, after = model.embed(x), model.embed(ablated)
    other = ({"rgb", "flow"} - {name}).pop()
    assert not torch.equal(before[name], after[name])
    assert torch.equal(before[other], after[other])


def test_f025_branches_of_equal_width_are_not_swapped():
    model = build({"a": "odd", "b": "odd"}).eval()
    perturb(model)
    features = model.features(images())
    assert torch.equal(
        features["a"].vector, model.branches["a"](images(), fk.Reads(vector=True)).vector
    )
    swapped = {"a": features["b"], "b": features["a"]}
    assert not torch.allclose(model.head(features), model.head(swapped))


def test_embed_gives_vectors_whatever_the_head_reads():
    model = build(TWO, fk.Head("odd/maps", level=0)).eval()
    assert {name: value.shape for name, value in model.embed(images()).items()} == {
        "a": (4, 16),
        "b": (4, 8),
    }
    features = model.features(images())
    assert features["a"].vector is None
    assert len(features["a"].maps) == 1


@pytest.mark.parametrize("net", PLAIN)
def test_p1_thawing_gives_back_what_the_author_declared(net):
    built = PLAIN[net]()
    declared = {name for name, value in built.named_parameters() if value.requires_grad}
    model = build({"a": branch(net, freeze=fk.Freeze.gradual())})
    assert not any(value.requires_grad for value in model.branches["a"].parameters())
    for epoch in (9, 0, 9):
        model.set_epoch(epoch)
    learning = {
        name for name, value in model.branches["a"].named_parameters() if value.requires_grad
    }
    assert learning == declared - {"mask_token"}  # which nothing that is read depends on


# modes


def test_f057_modules_put_into_train_mode_by_hand_are_caught():
    model = build({"still": branch("tiny", freeze=fk.Freeze.all()), "b": "odd"})
    for start in (model.train, model.eval):
        start()
        for module in model.modules():
            module.training = True
        with pytest.raises(fk.PolicyError, match=r"'still': a frozen .* by hand.*drift"):
            model(images())
        model.train()
        model(images())
    for start in (model.train, model.eval):
        start()
        model.branches["still"].train()
        with pytest.raises(fk.PolicyError, match="'still'"):
            model.embed(images())


@pytest.mark.parametrize(
    ("net", "path"),
    [
        ("tiny", "stem.1"),
        ("tiny", "drop"),
        ("old_spectral", "one"),
        ("new_spectral", "one.parametrizations.weight.0"),
        ("hidden_buffer", "one"),
        ("functional_noise", ""),
        ("tokens", "blocks.2.self_attn"),
    ],
)
def test_f057_any_single_module_that_minds_its_mode_is_caught(net, path):
    model = build({"a": branch(net, freeze=fk.Freeze.all())}).train()
    model.branches["a"].get_submodule(path).training = True
    with pytest.raises(fk.PolicyError, match="branch 'a': a frozen"):
        model(images())


def test_f057_a_compiled_model_catches_it_too():
    torch.compiler.reset()
    model = build({"a": branch("tiny", freeze=fk.Freeze.all())}).train()
    compiled = torch.compile(model, backend="eager")
    compiled(images())
    for module in model.modules():
        module.training = True
    with pytest.raises(fk.PolicyError, match="train mode by hand"):
        compiled(images())


def test_a_parent_module_sets_modes_as_the_model_would():
    model = build({"a": branch("tiny", freeze=fk.Freeze.all())})
    parent = torch.nn.Sequential(torch.nn.Identity(), model)
    parent.eval().train()
    assert model.training
    assert not any(module.training for module in model.branches["a"].modules())
    parent(images())


def test_train_refuses_what_is_no_mode_and_gives_the_model():
    model = build(TWO)
    with pytest.raises(ValueError, match="train takes True or False, got 'eval'"):
        model.train("eval")
    assert model.train() is model
    assert model.eval() is model
    assert model.set_epoch(1) is model
    assert not model.training


@pytest.mark.parametrize("epoch", [-1, 1.0, "1", None, True])
def test_an_epoch_that_is_none_is_refused(epoch):
    with pytest.raises(fk.PolicyError, match="set_epoch takes the epoch, counted from 0, got"):
        build(TWO).set_epoch(epoch)


def test_a_policy_that_does_not_fit_names_branch_and_backbone():
    with pytest.raises(fk.PolicyError, match=r"branch 'a' \(odd/odd\): Freeze.until.*'two'"):
        build({"a": branch("odd", freeze=fk.Freeze.until("tow"))})


# copies and files


@pytest.mark.parametrize("net", ["tiny", *PLAIN])
@pytest.mark.parametrize("way", ["deepcopy", "pickle"])
def test_f026_a_copy_is_the_same_model_and_its_own(net, way):
    freeze = fk.Freeze.last(1)
    model = build({"a": branch(net, freeze=freeze), "b": "odd"}).train()
    perturb(model)
    if (net, way) == ("new_spectral", "pickle"):
        with pytest.raises(RuntimeError, match="only supported through state_dict"):
            pickle.dumps(model)  # torch's own word on parametrizations
        return
    other = copy.deepcopy(model) if way == "deepcopy" else pickle.loads(pickle.dumps(model))
    assert other.train() is other
    assert torch.equal(model.eval()(images()), other.eval()(images()))
    assert not {id(v) for v in model.parameters()} & {id(v) for v in other.parameters()}
    assert [v.requires_grad for v in model.parameters()] == [
        v.requires_grad for v in other.parameters()
    ]
    assert not {id(m) for m in model._still["a"]} & {id(m) for m in other._still["a"]}
    assert {id(m) for m in other._still["a"]} <= {id(m) for m in other.modules()}
    before = other.state_dict()["head.out.b.weight"].clone()
    torch.optim.SGD(model.param_groups(lr=1.0))
    with torch.no_grad():
        model.head.out["b"].weight.add_(1)
    assert torch.equal(other.head.out["b"].weight, before)
    for module in other.branches["a"].modules():
        module.training = True
    with pytest.raises(fk.PolicyError):
        other(images())
    model(images())


@pytest.mark.parametrize("net", ["tiny", *PLAIN])
def test_a_state_dict_makes_another_model_the_same(net):
    torch.manual_seed(0)
    model, other = build({"a": net, "b": "odd"}).eval(), build({"a": net, "b": "odd"}).eval()
    perturb(model)
    assert not torch.equal(model(images()), other(images()))
    assert other.load_state_dict(model.state_dict()) == ([], [])
    other.eval()
    assert torch.equal(model(images()), other(images()))


def test_f046_a_table_made_in_eval_mode_is_made_anew_by_eval():
    model = build({"a": "caches"}).eval()
    first = model(images())
    with torch.no_grad():
        model.branches["a"].two.weight.add_(1)
    assert not torch.equal(first, model.eval()(images()))


def test_it_is_freed_when_nobody_holds_it():
    model = build(TWO)
    optimizer = torch.optim.SGD(model.param_groups(lr=0.1))
    model.lr_scheduler(optimizer, "constant")
    watch = weakref.ref(model)
    del model, optimizer
    gc.collect()
    assert watch() is None


# what torch does with modules


def test_channels_last_changes_nothing_but_the_layout():
    model = pair(preprocess="inside").eval()
    x = {name: value.sigmoid() for name, value in streams().items()}
    plain = model(x)
    model.to(memory_format=torch.channels_last)
    assert model.branches["rgb"].stem[0].weight.is_contiguous(memory_format=torch.channels_last)
    x = {name: value.to(memory_format=torch.channels_last) for name, value in x.items()}
    torch.testing.assert_close(model(x), plain)


@pytest.mark.parametrize("training", [True, False])
def test_autocast_to_bfloat16_runs_and_learns(training):
    model = pair().train(training)
    with torch.autocast("cpu", torch.bfloat16):
        logits = model(streams())
    assert logits.dtype == torch.bfloat16
    logits.float().square().mean().backward()
    assert all(value.grad is not None for value in model.parameters() if value.requires_grad)


def test_a_model_in_double_takes_doubles():
    model = pair().double().eval()
    assert model({k: v.double() for k, v in streams().items()}).dtype == torch.float64


def test_functional_call_uses_the_given_tensors_only():
    model = pair().eval()
    other = {
        name: value + 0.1 for name, value in model.state_dict().items() if value.is_floating_point()
    }
    expected = copy.deepcopy(model)
    expected.load_state_dict(other, strict=False)
    got = torch.func.functional_call(model, other, (streams(),))
    torch.testing.assert_close(got, expected.eval()(streams()))
    gradient = torch.func.grad(
        lambda state: torch.func.functional_call(model, state, (streams(),)).square().sum()
    )({name: value.detach() for name, value in model.head.named_parameters(prefix="head")})
    assert all(value.abs().sum() > 0 for value in gradient.values())


def test_f110_compiled_without_a_graph_break_and_anew_at_each_change():
    torch.compiler.reset()
    model = build({"a": branch("tiny", freeze=fk.Freeze.gradual(), lr=fk.LR()), "b": "odd"})
    for layer in model.modules():
        if isinstance(layer, torch.nn.Dropout):
            layer.p = 0.0
    perturb(model)
    counter = CompileCounter()
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    twin = copy.deepcopy(model)
    for round_ in range(4):
        for epoch in range(4):
            model.train().set_epoch(epoch)
            twin.train().set_epoch(epoch)
            count = counter.frame_count
            for module in (compiled, twin):
                module.zero_grad()
                module(images()).square().mean().backward()
            compiled(images())
            twin(images())
            assert counter.frame_count == count + 1, (round_, epoch)
            for (name, value), other in zip(
                model.named_parameters(), twin.parameters(), strict=True
            ):
                assert (value.grad is None) == (other.grad is None), name
                if value.grad is not None:
                    torch.testing.assert_close(value.grad, other.grad)
            torch.testing.assert_close(dict(model.named_buffers()), dict(twin.named_buffers()))
            model.eval()
            with torch.no_grad():
                torch.testing.assert_close(compiled(images()), twin.eval()(images()))
    assert counter.frame_count == 32


def test_f110_setting_the_same_policy_again_compiles_nothing():
    torch.compiler.reset()
    counter = CompileCounter()
    model = build({"a": branch("tiny", freeze=fk.Freeze.gradual(every=3)), "b": "odd"}).train()
    compiled = torch.compile(model, backend=counter, fullgraph=True)
    for epoch in range(3):
        model.set_epoch(epoch)
        compiled(images())
    assert counter.frame_count == 1


@pytest.mark.parametrize("preprocess", ["outside", "inside"])
def test_f108_it_exports_with_a_batch_of_any_length(preprocess):
    model = pair(preprocess=preprocess).eval()
    if preprocess == "inside":
        sizes = {"rgb": 3, "flow": 5}
        make = lambda batch: {  # noqa: E731
            name: torch.rand(batch, channels, 20, 24) for name, channels in sizes.items()
        }
    else:
        make = streams
    batch = torch.export.Dim("batch", min=1, max=64)
    shapes = ({"rgb": {0: batch}, "flow": {0: batch}},)
    program = torch.export.export(model, (make(2),), dynamic_shapes=shapes)
    for length in (1, 2, 7):
        x = make(length)
        torch.testing.assert_close(program.module()(x), model(x))


def test_a_model_with_preprocessing_inside_is_the_same_as_one_with_it_outside():
    torch.manual_seed(0)
    branches = {"a": branch("tiny", preprocessing=RAW), "b": "odd"}
    inside = build(branches, preprocess="inside").eval()
    outside = build(branches).eval()
    outside.load_state_dict(inside.state_dict())
    raw = torch.rand(2, 3, 20, 30)
    prepared = {name: inside.prepare[name](raw) for name in TWO}
    assert torch.equal(inside(raw), outside(prepared))
    assert torch.equal(copy.deepcopy(inside)(raw), inside(raw))


def test_group_stages_names_every_group_of_a_branch():
    model = build(TWO)
    names = {group["name"] for group in model.param_groups(lr=0.1)}
    assert names - {"head/decay", "head/no_decay"} <= set(model.group_stages())
    assert model.group_stages()["b/two/decay"] == ("b", 1)


def test_a_frozen_parameter_that_is_set_to_learn_by_hand_is_caught():
    model = build({"a": branch("tiny", freeze=fk.Freeze.all()), "b": branch("odd")}).train()
    model.requires_grad_(True)
    with pytest.raises(fk.PolicyError, match="branch 'a': requires_grad of a frozen parameter"):
        model(images())
    with torch.no_grad():
        model(images())
    model.set_epoch(0)(images()).sum().backward()
    assert all(value.grad is None for value in model.branches["a"].parameters())


def test_eval_never_passes_through_train_mode():
    model = build({"a": branch("tiny", freeze=fk.Freeze.last(1))}).eval()
    seen = []
    norm = model.branches["a"].stem[1]
    plain = norm.train

    def train(mode=True):
        seen.append(mode)
        return plain(mode)

    object.__setattr__(norm, "train", train)
    model.eval()
    assert True not in seen


@pytest.mark.parametrize("change", ["parametrized", "added"])
def test_a_branch_that_was_changed_by_hand_is_refused(change):
    model = build({"a": branch("tiny")})
    if change == "added":
        model.branches["a"].extra = torch.nn.Linear(2, 2)
    else:
        torch.nn.utils.parametrizations.weight_norm(model.branches["a"].top)
    for call in (lambda: model.set_epoch(1), lambda: model.param_groups(lr=0.1), model.train):
        with pytest.raises(fk.AssemblyError, match="branch 'a' was changed after it was composed"):
            call()
