# SPDX-License-Identifier: GPL-3.0-or-later
"""Every module: what its documentation says is what it takes."""

from __future__ import annotations

import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import yaml
from ansible.module_utils.basic import AnsibleModule

ROOT = Path(__file__).parents[4]
NAMES = sorted(p.stem for p in ROOT.glob("plugins/modules/[a-z]*.py"))


@pytest.fixture(scope="session")
def documented() -> dict[str, Any]:
    """What ansible-doc makes of every module, by name, fragments included."""
    command = [str(Path(sys.executable).with_name("ansible-doc")), "--json"]
    done = subprocess.run(
        [*command, *(f"cloudvip.ha.{name}" for name in NAMES)],
        env={**os.environ, "ANSIBLE_COLLECTIONS_PATH": str(ROOT / "collections")},
        cwd="/",
        capture_output=True,
        check=True,
        timeout=60,
    )
    found: dict[str, Any] = json.loads(done.stdout)
    return {name: found[f"cloudvip.ha.{name}"] for name in NAMES}


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
        importlib.import_module(f"ansible_collections.cloudvip.ha.plugins.modules.{name}").main()
    return taken


def flat(options: Mapping[str, Any], nested: str, prefix: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    """Every option with its properties, those below other options too."""
    for name, option in (options or {}).items():
        yield (
            f"{prefix}{name}",
            {
                "type": option.get("type", "str"),
                "elements": option.get("elements"),
                "required": option.get("required", False),
                "default": option.get("default"),
                "choices": list(option.get("choices") or ()),
                "aliases": sorted(option.get("aliases") or ()),
            },
        )
        yield from flat(option.get(nested), nested, f"{prefix}{name}.")


def test_every_module_is_documented(documented: dict[str, Any]) -> None:
    assert set(documented) == set(NAMES) >= {"oci_dynamic_group", "oci_policy", "oci_private_ip", "oci_vnic"}


@pytest.mark.parametrize("name", NAMES)
def test_the_options_are_those_of_the_documentation(
    name: str, documented: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    options = dict(flat(documented[name]["doc"].get("options", {}), "suboptions"))

    assert dict(flat(spec(name, monkeypatch)["argument_spec"], "options")) == options


@pytest.mark.parametrize("name", NAMES)
def test_check_mode_is_supported_as_documented(
    name: str, documented: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    support = documented[name]["doc"]["attributes"]["check_mode"]["support"]

    assert (support == "full") == spec(name, monkeypatch).get("supports_check_mode", False)


@pytest.mark.parametrize("name", NAMES)
def test_the_documentation_is_complete(name: str, documented: dict[str, Any]) -> None:
    found = documented[name]

    assert found["doc"].keys() >= {"short_description", "description", "author", "version_added", "attributes"}
    assert found["doc"]["attributes"].keys() >= {"check_mode", "diff_mode"}
    assert all(value.keys() >= {"description", "support"} for value in found["doc"]["attributes"].values())
    assert found["return"]
    assert all(value.keys() >= {"description", "returned", "type"} for value in found["return"].values())


@pytest.mark.parametrize("name", NAMES)
def test_the_examples_use_options_that_exist(name: str, documented: dict[str, Any]) -> None:
    options = set(documented[name]["doc"].get("options", {}))
    tasks = [task for task in yaml.safe_load(documented[name]["examples"]) if f"cloudvip.ha.{name}" in task]

    assert tasks
    assert all(set(task[f"cloudvip.ha.{name}"] or {}) <= options for task in tasks)
