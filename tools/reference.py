#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/reference.md, and each role's variables into its README, from the roles' argument specs and defaults.

With --check, fail if any of them is not up to date.
"""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
SHARED = re.compile(r"\b(cloudvip_[a-z_]+)\b")
MARKUP = re.compile(r"\b[CEVOMP]\(([^)#]*)(?:#\w+)?\)")

# What is generated in a README stands between these.
BEGIN, END = "<!-- begin of what `make reference` writes -->", "<!-- end of what `make reference` writes -->"
GENERATED = re.compile(f"(?<={re.escape(BEGIN)}\n).*(?={re.escape(END)}\n)", re.DOTALL)


def text(value: str | list[str]) -> str:
    """A description as one line of Markdown."""
    joined = " ".join(value) if isinstance(value, list) else value
    return MARKUP.sub(r"`\1`", joined).replace("|", "\\|")


def load(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return data


def names(values: list[str]) -> str:
    return ", ".join(f"`{value}`" for value in values)


def default(name: str, defaults: dict[str, Any]) -> str:
    """An input's default as it stands in the role's defaults; what has none there is required."""
    if name not in defaults:
        return "*required*"
    value = defaults[name]
    literal = (
        value
        if isinstance(value, str) and value
        else yaml.safe_dump(value, default_flow_style=True, width=sys.maxsize).split("\n")[0]
    )
    return f"`{literal}`".replace("|", "\\|")


def kind(option: dict[str, Any]) -> str:
    return f"{option['type']} of {option['elements']}" if "elements" in option else str(option["type"])


def meaning(option: dict[str, Any]) -> str:
    choices = f" One of {names(option['choices'])}." if "choices" in option else ""
    return text(option["description"]) + choices


def specs(directory: Path) -> dict[str, dict[str, Any]]:
    """A role's entry points."""
    found: dict[str, dict[str, Any]] = load(directory / "meta" / "argument_specs.yml")["argument_specs"]
    return found


def inputs(directory: Path) -> dict[str, dict[str, Any]]:
    return {name: option for spec in specs(directory).values() for name, option in spec.get("options", {}).items()}


def takers(directory: Path, name: str) -> str:
    """The entry points that have an input."""
    found = [entry for entry, spec in specs(directory).items() if name in spec.get("options", {})]
    return "all" if len(found) == len(specs(directory)) else names(found)


def variables(directory: Path) -> str:
    """The entry points of a role and their inputs, as they stand in its README."""
    defaults = load(directory / "defaults" / "main.yml")
    lines = ["", "| `tasks_from` | does |", "|---|---|"]
    lines += [
        f"| `{entry}` | {text(spec['short_description'])}. {text(spec['description'])} |"
        for entry, spec in specs(directory).items()
    ]
    lines += ["", "| input | type | default | what it is | for |", "|---|---|---|---|---|"]
    lines += [
        f"| `{name}` | {kind(option)} | {default(name, defaults)} | {meaning(option)} | {takers(directory, name)} |"
        for name, option in inputs(directory).items()
    ]
    return "\n".join([*lines, "", ""])


def readme(directory: Path) -> str:
    """A role's README with its variables as they are now."""
    path = directory / "README.md"
    content, count = GENERATED.subn(
        lambda _: variables(directory), path.read_text(encoding="utf-8") if path.exists() else ""
    )
    if count != 1:
        sys.exit(f"{path.relative_to(ROOT)}: expected once, each on a line of its own: {BEGIN} and {END}")
    return content


def shared(roles: list[Path]) -> dict[str, list[str]]:
    """For each variable of the whole collection the inputs that it sets, as links."""
    users: dict[str, list[str]] = {}
    for directory in roles:
        for name, value in load(directory / "defaults" / "main.yml").items():
            for variable in dict.fromkeys(SHARED.findall(str(value))):
                users.setdefault(variable, []).append(f"[`{name}`](../roles/{directory.name}/README.md#variables)")
    return {v: links for v, links in sorted(users.items()) if v not in ("cloudvip_model", "cloudvip_vnic")}


def reference(roles: list[Path]) -> str:
    """The page about the variables of all roles."""
    return "\n".join(
        [
            "# Variables",
            "",
            "Generated from the roles by `make reference`. The variables for all roles are what an inventory normally",
            "sets; an input of a role can be set for that role alone. What an input is says the README of its role.",
            "",
            "## Variables for all roles",
            "",
            "| variable | is the default of |",
            "|---|---|",
            *(f"| `{variable}` | {', '.join(links)} |" for variable, links in shared(roles).items()),
            "",
            "## Inputs of single roles",
            "",
            "| role | inputs |",
            "|---|---|",
            *(
                f"| [`{directory.name}`](../roles/{directory.name}/README.md#variables) "
                f"| {names(list(inputs(directory)))} |"
                for directory in roles
            ),
            "",
        ]
    )


def main() -> int:
    roles = sorted(p for p in (ROOT / "roles").iterdir())
    pages = {REFERENCE: reference(roles), **{role / "README.md": readme(role) for role in roles}}
    stale = [path for path, page in pages.items() if not path.exists() or path.read_text(encoding="utf-8") != page]
    if "--check" in sys.argv[1:]:
        for path in stale:
            sys.stderr.write(f"{path.relative_to(ROOT)} does not match the roles: run `make reference`\n")
        return 1 if stale else 0
    for path in stale:
        path.write_text(pages[path], encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
