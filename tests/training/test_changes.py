import pytest
import torch
from loops import build, optimizers
from torch import distributed, nn

import fusionkit as fk
from fusionkit.errors import ConfigError, ResumeError
from fusionkit.training.resume.changes import compare_settings, run_settings

SETTINGS = {"data": "3f2a", "batch_size": 8, "seed": 0, "augment": {"flip": True, "crop": (0.5, 1)}}


def settings(**changes):
    model = build()
    optimizer, scheduler = optimizers(model)
    return run_settings(model, optimizer, scheduler, {**SETTINGS, **changes})


def test_nothing_has_changed():
    assert compare_settings(settings(), settings(), ()) == ()


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"data": "77"}, "data: '3f2a' when it was saved, '77' now"),
        ({"batch_size": 16}, "batch_size: 8 when it was saved, 16 now"),
        ({"seed": 1}, "seed: 0 when it was saved, 1 now"),
        ({"augment": {"flip": False, "crop": (0.5, 1)}}, r"augment\.flip: True when"),
        ({"augment": {"flip": True}}, r"augment\.crop: \[0\.5, 1\] when it was saved, 'not there'"),
        ({"more": None}, "more: 'not there' when it was saved, None now"),
    ],
)
def test_f074_a_setting_that_has_changed_is_refused_unless_allowed(changes, said):
    with pytest.raises(ResumeError, match=said) as refused:
        compare_settings(settings(), settings(**changes), ())
    name = str(refused.value).splitlines()[1].partition(":")[0].strip()
    whole = name.partition(".")[0]
    assert f"or allow it: allow=[{whole!r}, ...]" in str(refused.value)
    for allow in ([name], [whole]):
        (noted,) = compare_settings(settings(), settings(**changes), allow)
        assert noted.startswith(f"{name}: ")


def test_f074_recipe_optimizer_versions_and_processes_are_noted_unasked(monkeypatch):
    saved = settings()
    model = build(a=fk.Branch("toy/tiny", weights=None, freeze=fk.Freeze.all()))
    optimizer, scheduler = optimizers(model)
    for group in optimizer.param_groups:
        group["initial_lr"] = 0.7
    monkeypatch.setattr(distributed, "is_initialized", lambda: True)
    monkeypatch.setattr(distributed, "get_world_size", lambda: 4)
    now = run_settings(model, optimizer, scheduler, SETTINGS)
    now["versions"] = {**now["versions"], "torch": "1.0"}
    for allow, said in (
        ([], r"optimizer\.groups\.a/body/decay\.lr: 0\.005 when it was saved, 0\.7 now"),
        (["optimizer"], r"recipe\.branches\.a\.freeze"),
        (["optimizer", "recipe"], r"versions\.torch: .* when it was saved, '1\.0' now"),
        (["optimizer", "recipe", "versions.torch"], "world_size: 1 when it was saved, 4 now"),
    ):
        with pytest.raises(ResumeError, match=said):
            compare_settings(saved, now, allow)
    noted = compare_settings(saved, now, ["optimizer", "recipe", "versions", "world_size"])
    assert "world_size: 1 when it was saved, 4 now" in noted


def test_a_long_list_of_changes_is_cut_short():
    with pytest.raises(ResumeError, match=r"k9: .*\(and 5 more\)"):
        compare_settings({}, {f"k{n}": n for n in range(15)}, ())


@pytest.mark.parametrize(
    ("allow", "said"),
    [
        (["batchsize"], "and 'batchsize' is none. Did you mean 'batch_size'"),
        (["versions.torc"], r"and 'versions\.torc' is none\. Did you mean 'versions\.torch'"),
        ("batch_size", "allow is a list of settings that may have changed, and 'batch_size' is"),
    ],
)
def test_what_is_no_setting_cannot_be_allowed(allow, said):
    with pytest.raises(ConfigError, match=said):
        compare_settings(settings(), settings(), allow)


def test_a_name_that_is_noted_anyway_is_taken():
    with pytest.raises(ConfigError, match="settings: 'recipe' is noted anyway; choose another"):
        settings(recipe="x")


def test_what_a_schedule_moves_is_no_change():
    model = nn.Linear(2, 2)

    def build_both():
        optimizer = torch.optim.SGD(model.parameters(), lr=0.1, momentum=0.9)
        return optimizer, torch.optim.lr_scheduler.OneCycleLR(optimizer, 0.5, total_steps=10)

    one, two = build_both(), build_both()
    for _ in range(3):
        one[0].step()
        one[1].step()
    assert one[0].param_groups[0]["momentum"] != two[0].param_groups[0]["momentum"]
    saved, now = (run_settings(model, *each, None) for each in (one, two))
    assert compare_settings(saved, now, ()) == ()
    assert saved["recipe"] is None


def test_settings_are_plain_data():
    with pytest.raises(ConfigError, match=r"settings\.data"):
        settings(data=torch.ones(2))
