# SPDX-License-Identifier: GPL-3.0-or-later
"""Every role: its inputs in the argument specs, the defaults, the README and what its tasks really use."""

from __future__ import annotations

import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2 import Environment, StrictUndefined, TemplateError, nodes
from jinja2.nativetypes import NativeEnvironment

ROOT = Path(__file__).parents[3]
ROLES = sorted(p.name for p in ROOT.glob("roles/*"))
# What Ansible evaluates without braces.
CONDITIONS = ("when", "until", "changed_when", "failed_when", "that")


def load(path: Path) -> Any:
    return yaml.safe_load(path.read_text(encoding="utf-8"))


@cache
def specs(role: str) -> dict[str, dict[str, Any]]:
    """The inputs of each entry point."""
    found = load(ROOT / "roles" / role / "meta/argument_specs.yml")["argument_specs"]
    return {entry: spec.get("options", {}) for entry, spec in found.items()}


@cache
def defaults(role: str) -> dict[str, Any]:
    found: dict[str, Any] = load(ROOT / "roles" / role / "defaults/main.yml")
    return found


ENTRIES = [(role, entry) for role in ROLES for entry in specs(role)]


def inputs(role: str) -> dict[str, Any]:
    return {name: option for options in specs(role).values() for name, option in options.items()}


def commented(role: str) -> set[str]:
    """The inputs that the defaults only mention, as they have none."""
    text = (ROOT / "roles" / role / "defaults/main.yml").read_text(encoding="utf-8")
    return set(re.findall(rf"^# ({role}_\w+):", text, re.MULTILINE))


def rendered(role: str, name: str) -> Any:
    """A default as it is where an inventory sets nothing; None where it has to."""
    literals = {n: v for n, v in defaults(role).items() if not isinstance(v, str) or "{{" not in v}
    if name in literals:
        return literals[name]
    try:
        value = NativeEnvironment(undefined=StrictUndefined).from_string(defaults(role)[name]).render(literals)
    except TemplateError:
        return None
    return None if isinstance(value, StrictUndefined) else value


def templates(value: Any, key: str = "") -> Iterator[str]:
    """Every text of a YAML value that Ansible evaluates."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield from templates(item, name)
    elif isinstance(value, list):
        for item in value:
            yield from templates(item, key)
    elif isinstance(value, str):
        yield f"{{{{ {value} }}}}" if key in CONDITIONS else value


def published(role: str) -> set[str]:
    """The facts that the role sets for whoever comes after it."""

    def facts(value: Any) -> Iterator[str]:
        for item in value if isinstance(value, list) else value.values() if isinstance(value, dict) else ():
            yield from facts(item)
        if isinstance(value, dict):
            yield from value.get("ansible.builtin.set_fact", {})

    return {name for path in (ROOT / "roles" / role / "tasks").iterdir() for name in facts(load(path))}


def used(role: str, entry: str) -> set[str]:
    """The inputs that an entry point comes to evaluate: in its tasks and templates, and in what their variables are."""
    folder = ROOT / "roles" / role
    variables: dict[str, list[Any]] = {}
    for path in [*folder.glob("vars/*.yml"), folder / "defaults/main.yml"]:
        for name, value in load(path).items():
            variables.setdefault(name, []).append(value)
    handlers = {task["name"]: task for path in folder.glob("handlers/main.yml") for task in load(path)}
    seen: set[str | Path] = set()
    queue: list[str | Path] = [folder / "tasks" / f"{entry}.yml"]
    while queue:
        item = queue.pop()
        if item in seen:
            continue
        seen.add(item)
        if isinstance(item, str):
            texts = list(templates(handlers.get(item, variables.get(item, []))))
        elif item.suffix == ".j2":
            texts = [item.read_text(encoding="utf-8")]
        else:
            texts = list(templates(load(item)))
            for name in re.findall(r'(?:import|include)_tasks: "?(.+\.yml)', item.read_text(encoding="utf-8")):
                queue += folder.glob("tasks/" + re.sub(r"{{.*?}}", "*", name))
        for text in texts:
            # Backslashes are doubled as Ansible does it.
            found = Environment().parse(text.replace("\\", "\\\\")).find_all(nodes.Name)
            queue += {node.name for node in found}
            for name in re.findall(r"[\w.-]+\.j2", text):
                queue += folder.glob("templates/" + re.sub(r"^(?=\.)", "*", name))
            queue += {text} & set(handlers)
    return {name for name in seen if isinstance(name, str) and name.startswith(f"{role}_")} - published(role)


@pytest.mark.parametrize("role", ROLES)
def test_every_input_is_in_the_specs_and_in_the_defaults(role: str) -> None:
    required = {name for name, option in inputs(role).items() if option.get("required")}

    assert set(defaults(role)) | required == set(inputs(role))
    assert commented(role) == required
    assert not required & set(defaults(role))


@pytest.mark.parametrize("role", ROLES)
def test_the_defaults_are_those_of_the_specs(role: str) -> None:
    assert {name: rendered(role, name) for name in defaults(role)} == {
        name: inputs(role)[name].get("default") for name in defaults(role)
    }


@pytest.mark.parametrize("role", ROLES)
def test_an_input_is_the_same_at_all_entry_points(role: str) -> None:
    assert all(option == inputs(role)[name] for options in specs(role).values() for name, option in options.items())


@pytest.mark.parametrize(("role", "entry"), ENTRIES)
def test_an_entry_point_declares_what_it_uses(role: str, entry: str) -> None:
    assert set(specs(role)[entry]) == used(role, entry)


def test_what_is_played_is_an_entry_point_with_a_specification() -> None:
    played = {
        (role, entry)
        for path in [*ROOT.glob("playbooks/*.yml"), *ROOT.glob("roles/*/tasks/*.yml")]
        for role, entry in re.findall(
            r"name: cloudvip\.ha\.(\w+)\n +tasks_from: (\w+)$", path.read_text(encoding="utf-8"), re.MULTILINE
        )
    }

    assert ("oci", "pods") in played
    assert played <= set(ENTRIES)


@pytest.mark.parametrize("role", ROLES)
def test_the_example_of_the_readme_uses_inputs_that_exist(role: str) -> None:
    readme = (ROOT / "roles" / role / "README.md").read_text(encoding="utf-8")
    (example,) = re.findall(r"^## Example\n.*?```yaml\n(.*?)```", readme, re.MULTILINE | re.DOTALL)

    assert f"cloudvip.ha.{role}" in str(yaml.safe_load(example))
    assert set(re.findall(rf"\b{role}_\w+(?=:)", example)) <= set(inputs(role))
