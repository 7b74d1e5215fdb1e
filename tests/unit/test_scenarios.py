# SPDX-License-Identifier: GPL-3.0-or-later
"""The molecule scenarios test what they seem to: molecule goes past what it does not find, and calls that a success."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
BASE = ROOT / ".config/molecule/config.yml"
# Those of the actions that play a playbook of another one.
PLAYED_BY = {"check": "converge", "idempotence": "converge"}
ACTIONS = {"cleanup", "converge", "create", "destroy", "prepare", "side_effect"}


def merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """The base with what a scenario says otherwise. A list takes the place of a list."""
    result = dict(base)
    for key, value in own.items():
        below = result.get(key)
        result[key] = merged(below, value) if isinstance(below, dict) and isinstance(value, dict) else value
    return result


def load(file: Path) -> Any:
    return yaml.safe_load(file.read_text(encoding="utf-8"))


class Scenario:
    """A directory with a molecule.yml."""

    def __init__(self, directory: Path) -> None:
        self.directory = directory

    def __str__(self) -> str:
        return self.directory.name

    @cached_property
    def config(self) -> dict[str, Any]:
        return merged(load(BASE), load(self.directory / "molecule.yml"))

    @property
    def steps(self) -> list[tuple[str, list[str]]]:
        """What `molecule test` does: actions, each with its arguments."""
        return [(action, rest) for action, *rest in map(str.split, self.config["scenario"]["test_sequence"])]

    @property
    def actions(self) -> list[str]:
        return [action for action, _ in self.steps]

    def path(self, name: str) -> Path:
        return (self.directory / name).resolve()

    def playbook(self, action: str) -> Path:
        """The playbook of an action. Without it the action is passed over, whatever its arguments are."""
        name = PLAYED_BY.get(action, action)
        return self.path(self.config["ansible"]["playbooks"].get(name, f"{name}.yml"))

    def playbooks(self) -> set[Path]:
        """Those that are played, and those that must be there for that."""
        played = {self.playbook(action) for action in self.actions if PLAYED_BY.get(action, action) in ACTIONS}
        return played | {self.path(file) for action, files in self.steps if action == "side_effect" for file in files}

    def tests(self) -> Iterator[dict[Path, set[Path]]]:
        """For each verification, the files with tests by the place where they are looked for."""
        verifier = self.config["verifier"]
        for places in (places for action, places in self.steps if action == "verify"):
            found = {self.path(d): set(self.path(d).rglob("test_*.py")) for d in places or [verifier["directory"]]}
            for pattern in [] if places else verifier.get("additional_files_or_dirs", []):
                place = self.path(f"{verifier['directory']}/{pattern}")
                found[place] = set(place.parent.glob(place.name))
            yield found


SCENARIOS = [Scenario(file.parent) for file in sorted(ROOT.glob("molecule/*/molecule.yml"))]
PLAYING = [scenario for scenario in SCENARIOS if str(scenario) != "default"]
each = pytest.mark.parametrize("scenario", SCENARIOS, ids=str)
each_playing = pytest.mark.parametrize("scenario", PLAYING, ids=str)


def test_every_role_has_a_scenario_and_every_scenario_a_role() -> None:
    roles = {directory.name for directory in ROOT.glob("roles/*")}

    # What follows a hyphen is a variant.
    assert {str(scenario).split("-")[0] for scenario in PLAYING} == roles
    assert roles <= {str(scenario) for scenario in PLAYING}


@each_playing
def test_it_looks_at_what_was_played_and_played_again(scenario: Scenario) -> None:
    first = ["cleanup", "check", "converge", "idempotence", "verify"]

    assert scenario.actions[: len(first)] == first


@each_playing
def test_it_begins_with_bare_nodes(scenario: Scenario) -> None:
    playbook, reset = scenario.playbook("cleanup"), ROOT / "molecule/shared/reset.yml"

    while playbook != reset:
        first = load(playbook)[0]
        assert "ansible.builtin.import_playbook" in first, f"{playbook}: expected to begin with {reset.name}"
        playbook = (playbook.parent / first["ansible.builtin.import_playbook"]).resolve()

    # Molecule does it once for all scenarios that share the machines.
    assert "prepare" not in scenario.actions


@each_playing
def test_it_plays_on_the_nodes_of_the_lab(scenario: Scenario) -> None:
    # A list of more arguments takes the place of the base's. On no nodes, every playbook is a success.
    (inventory,) = load(BASE)["ansible"]["executor"]["args"]["ansible_playbook"]

    assert inventory in scenario.config["ansible"]["executor"]["args"]["ansible_playbook"]


@each
def test_the_playbooks_that_it_plays_are_there_and_the_others_are_not(scenario: Scenario) -> None:
    own = {scenario.path(f"{action}.yml") for action in ACTIONS}

    assert {playbook for playbook in scenario.playbooks() if not playbook.is_file()} == set()
    assert {playbook for playbook in own if playbook.is_file()} <= scenario.playbooks()


@each
def test_the_playbooks_that_it_names_are_there(scenario: Scenario) -> None:
    named = (load(scenario.directory / "molecule.yml").get("ansible") or {}).get("playbooks") or {}

    assert {name for name in named.values() if not scenario.path(name).is_file()} == set()


@each_playing
def test_every_verification_has_tests_wherever_it_looks_for_them(scenario: Scenario) -> None:
    for found in scenario.tests():
        for place, files in found.items():
            assert files, f"{place}: expected test_*.py"
            for file in files:
                assert re.search(r"^\s*def test_", file.read_text(encoding="utf-8"), re.MULTILINE), file


@each_playing
def test_it_looks_at_what_a_side_effect_has_left(scenario: Scenario) -> None:
    assert scenario.actions[-1] == "verify"


def test_no_test_is_left_out() -> None:
    run = {file for scenario in PLAYING for found in scenario.tests() for files in found.values() for file in files}

    assert set(ROOT.glob("molecule/**/test_*.py")) - run == set()


def test_the_base_is_found_in_a_tree_without_git() -> None:
    link = ROOT / "extensions/molecule/config.yml"

    assert link.is_symlink()
    assert link.resolve() == BASE
