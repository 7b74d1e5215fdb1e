# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module, filter and role: what its documentation says is what it takes, and says it all."""

from __future__ import annotations

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule

ROOT = Path(__file__).parents[2]
PLUGINS = "ansible_collections.cloudvip.ha.plugins"
NAMES = sorted(p.stem for p in ROOT.glob("plugins/modules/[a-z]*.py"))
FILTERS: dict[str, Callable[..., Any]] = {
    name: function
    for path in sorted(ROOT.glob("plugins/filter/[a-z]*.py"))
    for name, function in importlib.import_module(f"{PLUGINS}.filter.{path.stem}").FilterModule().filters().items()
}
ROLES = sorted(p.name for p in ROOT.glob("roles/*"))

# What all documentation has.
PARTS = ("short_description", "description", "author", "version_added")
# The rules of AnsibleModule by which options depend on each other.
RULES = ("mutually_exclusive", "required_together", "required_one_of", "required_if", "required_by")
# What ansible-test takes for a secret by its name.
SECRET = re.compile(r"pass(?!ive)|secret|token|cryptkey")


def ansible_doc(kind: str, names: list[str]) -> dict[str, Any]:
    """What ansible-doc makes of the collection's plugins of a kind, by name, fragments included."""
    done = subprocess.run(
        [
            str(Path(sys.executable).with_name("ansible-doc")),
            *("--json", f"--type={kind}"),
            *(f"cloudvip.ha.{name}" for name in names),
        ],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")},
        cwd="/",
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 0, done.stderr
    found: dict[str, Any] = json.loads(done.stdout)
    return {name: found[f"cloudvip.ha.{name}"] for name in names}


@pytest.fixture(scope="module")
def documented() -> dict[str, Any]:
    return ansible_doc("module", NAMES)


@pytest.fixture(scope="module")
def documented_filters() -> dict[str, Any]:
    return ansible_doc("filter", list(FILTERS))


@pytest.fixture(scope="module")
def documented_roles() -> dict[str, Any]:
    return ansible_doc("role", ROLES)


class _SpecTaken(BaseException):
    """Ends main() where the module would begin to run."""


def spec(name: str, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """The arguments that a module gives to AnsibleModule."""
    taken: dict[str, Any] = {}

    def take(_self: AnsibleModule, argument_spec: dict[str, Any], **others: Any) -> None:
        taken.update(others, argument_spec=argument_spec)
        raise _SpecTaken

    monkeypatch.setattr(AnsibleModule, "__init__", take)
    with pytest.raises(_SpecTaken):
        importlib.import_module(f"{PLUGINS}.modules.{name}").main()
    return taken


def below(options: Mapping[str, Any] | None, nested: str, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every option by its path, those below other options too."""
    for name, option in (options or {}).items():
        yield f"{prefix}{name}", option
        yield from below(option.get(nested), nested, f"{prefix}{name}.")


def flat(options: Mapping[str, Any], nested: str) -> dict[str, dict[str, Any]]:
    """Of every option what the specification and the documentation have in common."""
    return {
        path: {
            "type": option.get("type", "str"),
            "elements": option.get("elements"),
            "required": option.get("required", False),
            "default": option.get("default"),
            "choices": list(option.get("choices") or ()),
            "aliases": sorted(option.get("aliases") or ()),
        }
        for path, option in below(options, nested)
    }


def prose(description: str | list[str]) -> str:
    return description if isinstance(description, str) else "\n".join(description)


def rules(spec: Mapping[str, Any], doc: Mapping[str, Any]) -> Iterator[tuple[Any, set[str], dict[str, str]]]:
    """Every rule, the options that it is about, and the texts in which it can be said, those of options by name."""
    options, described = spec.get("argument_spec", spec.get("options")), doc.get("options", doc.get("suboptions"))
    assert options is not None
    assert described is not None
    for kind in RULES:
        for rule in dict(spec.get(kind) or {}).items() if kind == "required_by" else spec.get(kind) or ():
            names = {name for name in re.findall(r"\w+", str(rule)) if name in options}
            texts = {name: prose(described[name]["description"]) for name in names}
            yield rule, names, {**texts, "": prose(doc["description"])}
    for name, option in options.items():
        if option.get("options"):
            yield from rules(option, described[name])


def default(value: object) -> object:
    """A filter's default in the words of its documentation, in which nothing is as good as an empty one."""
    return None if value in ((), [], {}) else list(value) if isinstance(value, tuple) else value


def described(options: Mapping[str, Any] | None, nested: str) -> bool:
    return all(prose(option.get("description", "")).strip() for _, option in below(options, nested))


@pytest.mark.parametrize("name", NAMES)
def test_the_options_are_those_of_the_documentation(
    name: str, documented: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = flat(documented[name]["doc"].get("options", {}), "suboptions")

    assert flat(spec(name, monkeypatch)["argument_spec"], "options") == options


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_says_which_options_depend_on_each_other(
    name: str, documented: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    for rule, names, texts in rules(spec(name, monkeypatch), documented[name]["doc"]):
        linked = {n: set(re.findall(r"O\((?:\w+\[\]\.)*(\w+)", text)) & names - {n} for n, text in texts.items()}
        assert names == {n for n in names if linked[n]}.union(*linked.values()), rule


@pytest.mark.parametrize("name", NAMES)
def test_no_secret_is_logged(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    options = dict(below(spec(name, monkeypatch)["argument_spec"], "options"))

    assert all("no_log" in option for path, option in options.items() if SECRET.search(path))


@pytest.mark.parametrize("name", NAMES)
def test_check_mode_is_supported_as_documented(
    name: str, documented: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    support = documented[name]["doc"]["attributes"]["check_mode"]["support"]

    assert (support == "full") == spec(name, monkeypatch).get("supports_check_mode", False)


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_is_complete(name: str, documented: dict[str, Any]) -> None:
    found = documented[name]

    assert not [part for part in (*PARTS, "attributes") if not found["doc"].get(part)]
    assert described(found["doc"].get("options"), "suboptions")
    assert found["doc"]["attributes"].keys() >= {"check_mode", "diff_mode"}
    assert all(value.keys() >= {"description", "support"} for value in found["doc"]["attributes"].values())
    assert found["return"]
    assert all(value.keys() >= {"description", "returned", "type"} for value in found["return"].values())
    assert described(found["return"], "contains")


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_use_options_that_exist(name: str, documented: dict[str, Any]) -> None:
    options = set(documented[name]["doc"].get("options", {}))
    tasks = [task for task in yaml.safe_load(documented[name]["examples"]) if f"cloudvip.ha.{name}" in task]

    assert tasks
    assert all(set(task[f"cloudvip.ha.{name}"] or {}) <= options for task in tasks)


def test_one_group_has_the_modules_that_reach_the_cloud_alike(documented: dict[str, Any]) -> None:
    groups = yaml.safe_load((ROOT / "meta/runtime.yml").read_text())["action_groups"]
    membership = {n: documented[n]["doc"]["attributes"].get("action_group", {}).get("membership") for n in NAMES}

    assert groups == {"oci": [n for n in NAMES if n.startswith("oci_")]}
    assert membership == {n: ["cloudvip.ha.oci"] if n in groups["oci"] else None for n in NAMES}


@pytest.mark.parametrize("name", FILTERS)
def test_the_documentation_of_a_filter_is_complete(name: str, documented_filters: dict[str, Any]) -> None:
    found = documented_filters[name]

    assert not [part for part in (*PARTS, "options") if not found["doc"].get(part)]
    assert described(found["doc"]["options"], "suboptions")
    assert f"cloudvip.ha.{name}" in found["examples"]
    assert yaml.safe_load(found["examples"])
    assert found["return"]["_value"].keys() >= {"description", "type"}


@pytest.mark.parametrize("name", FILTERS)
def test_the_parameters_of_a_filter_are_those_of_the_documentation(
    name: str, documented_filters: dict[str, Any]
) -> None:
    _, *parameters = inspect.signature(FILTERS[name]).parameters.values()
    options = dict(documented_filters[name]["doc"]["options"])
    options.pop("_input")
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in parameters):
        # It hands them on to a function that refuses what it does not know.
        with pytest.raises(TypeError, match="unexpected keyword argument 'unknown'"):
            FILTERS[name](None, unknown=None, **dict.fromkeys(options))
        return

    assert {p.name: p.default is p.empty for p in parameters} == {
        n: option.get("required", False) for n, option in options.items()
    }
    assert {p.name: default(p.default) for p in parameters if p.default is not p.empty} == {
        n: default(option.get("default")) for n, option in options.items() if not option.get("required")
    }


@pytest.mark.parametrize("name", ROLES)
def test_the_documentation_of_a_role_is_complete(name: str, documented_roles: dict[str, Any]) -> None:
    entries = documented_roles[name]["entry_points"]

    assert "main" in entries
    for entry in entries.values():
        assert not [part for part in PARTS if not entry.get(part)]
        assert described(entry.get("options"), "options")
