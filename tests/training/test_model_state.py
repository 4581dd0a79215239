import pytest
import torch
from torch import nn

from fusionkit.errors import CheckpointError, ResumeError
from fusionkit.training.resume.model_state import capture_model, inner_model, restore_model


class Net(nn.Module):
    def __init__(self, width=3):
        super().__init__()
        self.layer = nn.Linear(width, width)
        self.norm = nn.BatchNorm1d(width)
        self.register_buffer("seen", torch.zeros(2), persistent=False)
        self.register_buffer("later", None, persistent=False)
        self.table, self.calls = None, 0

    def train(self, mode=True):
        self.table = None
        return super().train(mode)

    def get_extra_state(self):
        return {"calls": self.calls}

    def set_extra_state(self, state):
        self.calls = state["calls"]


def copy(state):
    if isinstance(state, dict):
        return {key: copy(value) for key, value in state.items()}
    return state.clone() if isinstance(state, torch.Tensor) else state


def test_f072_buffers_that_no_checkpoint_holds_and_extra_state_come_back():
    model = Net()
    model.seen.fill_(3)
    model.later, model.calls = torch.arange(4.0), 7
    saved = copy(capture_model(model))
    other = Net()
    other.table = "made of the values before"
    seen = other.seen
    restore_model(saved, other)
    assert other.seen is seen
    assert other.seen.tolist() == [3, 3]
    assert other.later.tolist() == [0, 1, 2, 3]
    assert other.calls == 7
    assert other.table is None
    assert all(
        torch.equal(value, model.state_dict()[name])
        for name, value in other.state_dict().items()
        if isinstance(value, torch.Tensor)
    )


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            lambda net: setattr(net, "more", nn.Linear(1, 1)),
            r"not less, but more\.bias, more",
        ),
        (lambda net: delattr(net, "norm"), r"it has not norm\.bias, norm\.num_batches.*no more"),
        (
            lambda net: net.double(),
            r"'layer\.weight' was saved as float32 \(3, 3\), but is fl",
        ),
        (
            lambda net: setattr(net, "layer", nn.Linear(3, 2)),
            r"'layer\.weight' was saved as float32 \(3, 3\), but is float32 \(2, 3\) in the model",
        ),
    ],
)
def test_another_model_is_refused_and_nothing_is_copied(change, said):
    saved = copy(capture_model(Net()))
    other = Net()
    change(other)
    before = copy(other.state_dict())
    with pytest.raises(ResumeError, match=said):
        restore_model(saved, other)
    after = other.state_dict()
    assert all(
        torch.equal(value, after[name])
        for name, value in before.items()
        if isinstance(value, torch.Tensor)
    )


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_f077_a_model_that_has_diverged_is_not_saved(value):
    model = Net()
    with torch.no_grad():
        model.layer.weight[1, 1] = value
    with pytest.raises(CheckpointError, match=r"not saved: 'layer\.weight' holds .*has diverged"):
        capture_model(model)


def test_what_torch_wraps_around_a_model_changes_no_names():
    model = Net()
    assert inner_model(model) is model
    assert inner_model(torch.compile(model)) is model
    assert inner_model(nn.DataParallel(torch.compile(model))) is model
