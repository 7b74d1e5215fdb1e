#!/usr/bin/env python3
# SPDX-License-Identifier: GPL-3.0-or-later
"""Write docs/reference.md from the roles' argument specs and defaults; with --check, fail if it is not up to date."""

from __future__ import annotations

import re
import sys
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parent.parent
REFERENCE = ROOT / "docs" / "reference.md"
SHARED = re.compile(r"\b(cloudvip_[a-z_]+)\b")
MARKUP = re.compile(r"\b[CVOMP]\(([^)#]*)(?:#\w+)?\)")


def text(value: str | list[str]) -> str:
    """A description as one line of Markdown."""
    joined = " ".join(value) if isinstance(value, list) else value
    return MARKUP.sub(r"`\1`", joined).replace("|", "\\|")


def load(path: Path) -> dict[str, Any]:
    data: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8")) or {}
    return data


def shown(name: str, option: dict[str, Any], defaults: dict[str, Any]) -> str:
    """An input's default as it stands in the role's defaults."""
    if name not in defaults:
        return "*required*" if option.get("required") else ""
    value = defaults[name]
    literal = (
        value if isinstance(value, str) and value else yaml.safe_dump(value, default_flow_style=True).split("\n")[0]
    )
    return f"`{literal}`".replace("|", "\\|")


def role(directory: Path) -> list[str]:
    """One role's part of the page."""
    defaults = load(directory / "defaults" / "main.yml")
    lines = [f"## Role `{directory.name}`", ""]
    for entry, spec in load(directory / "meta" / "argument_specs.yml")["argument_specs"].items():
        title = "" if entry == "main" else f"`tasks_from: {entry}`: "
        lines += [f"{title}{text(spec['short_description'])}.", ""]
        options = spec.get("options", {})
        if options:
            lines += ["| input | type | default | what it is |", "|---|---|---|---|"]
            lines += [
                f"| `{name}` | {option.get('type', 'str')} | {shown(name, option, defaults)} "
                f"| {text(option.get('description', ''))} |"
                for name, option in options.items()
            ]
            lines.append("")
    return lines


def shared(roles: list[Path]) -> list[str]:
    """The collection-wide variables, and which role inputs each of them sets."""
    users: dict[str, list[str]] = {}
    for directory in roles:
        for name, value in load(directory / "defaults" / "main.yml").items():
            for variable in dict.fromkeys(SHARED.findall(str(value))):
                users.setdefault(variable, []).append(name)
    users = {v: names for v, names in users.items() if v not in ("cloudvip_model", "cloudvip_vnic")}
    lines = ["## Variables for all roles", "", "| variable | is the default of |", "|---|---|"]
    lines += [f"| `{v}` | {', '.join(f'`{n}`' for n in names)} |" for v, names in sorted(users.items())]
    return [*lines, ""]


def page() -> str:
    roles = sorted(p.parent.parent for p in ROOT.glob("roles/*/meta/argument_specs.yml"))
    lines = [
        "# Variables",
        "",
        "Generated from the roles by `make reference`. The variables for all roles are what an inventory normally",
        "sets; an input of a role can be set for that role alone.",
        "",
        *shared(roles),
    ]
    for directory in roles:
        lines += role(directory)
    return "\n".join(lines).rstrip() + "\n"


def main() -> int:
    if "--check" in sys.argv[1:]:
        if REFERENCE.exists() and REFERENCE.read_text(encoding="utf-8") == page():
            return 0
        sys.stderr.write("docs/reference.md does not match the roles: run `make reference`\n")
        return 1
    REFERENCE.write_text(page(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
