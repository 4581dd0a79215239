"""Discovery reads entry points and imports nothing."""

from __future__ import annotations

import sys
import time

from fusionkit.plugins.discovery import Candidate, discover


def test_fusionkits_own_plugins_come_by_the_same_door():
    candidates, _ = discover()
    own = {found.name for found in candidates if found.distribution == "torch-fusionkit"}
    assert own == {"heads", "timm", "torchvision"}


def test_a_candidate_says_where_it_came_from_and_is_not_imported(install):
    install("toy-a", "raise SystemExit", name="a", version="3.1")
    candidates, _ = discover()
    assert Candidate("a", "toy_a", "toy-a", "3.1") in candidates
    assert "toy_a" not in sys.modules


def test_other_groups_and_comments_are_passed_over(install):
    text = "# a comment\n; another\n[console_scripts]\nx = y:z\n\n[ fusionkit ]\n a = toy_a\n"
    install("toy-a", entry_points=text)
    candidates, skipped = discover()
    assert Candidate("a", "toy_a", "toy-a", "1.0") in candidates
    assert not skipped


def test_a_newer_release_without_plugins_hides_an_older_one_with_them(install):
    install("toy-a", folder="old", version="1.0")
    install("toy-a", folder="new", version="2.0", entry_points="[console_scripts]\nx = y:z\n")
    assert "toy-a" not in {found.distribution for found in discover()[0]}


def test_a_distribution_without_metadata_is_named_by_its_place(install):
    site = install("toy-a", entry_points="garbage\n")
    (site / "toy_a-1.0.dist-info" / "METADATA").unlink()
    _, skipped = discover()
    assert [str(site) in found.distribution for found in skipped] == [True]


def test_discovery_is_quick():
    discover()
    start = time.process_time()
    discover()
    assert time.process_time() - start < 0.5
