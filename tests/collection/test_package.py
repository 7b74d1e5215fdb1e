# SPDX-License-Identifier: GPL-3.0-or-later
"""What is in the package, and that it arrives."""

from __future__ import annotations

import re
import tarfile
from pathlib import Path

from tests.collection.conftest import Package

WHOLE = {"changelogs", "docs", "meta", "playbooks", "plugins", "roles", "templates"}
PAGES = {"CHANGELOG.md", "CONTRIBUTING.md", "LICENSE", "README.md"}
NEEDS = {"bindep.txt", "requirements.txt", "requirements.yml"}
OF_GALAXY = {"FILES.json", "MANIFEST.json"}
# For who changes the code, not for who runs it.
LEFT_OUT = {Path("roles/vip_agent/files/ruff.toml")}
LINK = re.compile(r"]\((?!https?://|#)([^)#]+)")


def test_it_holds_the_collection_with_the_example_and_nothing_else(installed: Package) -> None:
    with tarfile.open(installed.file) as archive:
        entries = {Path(entry.name) for entry in archive if not entry.isdir()}

    assert {entry.parts[0] for entry in entries} == WHOLE | PAGES | NEEDS | OF_GALAXY | {"inventory"}
    belongs = {
        source for source in installed.sources if source.parts[0] in WHOLE or source.parts[:2] == ("inventory", "prod")
    }
    assert {entry for entry in entries if len(entry.parts) > 1} == belongs - LEFT_OUT


def test_every_file_arrives_through_links_too(installed: Package) -> None:
    templates = [path.relative_to(installed.checkout) for path in installed.checkout.glob("roles/*/templates/*")]
    assert len(templates) > 10
    files = [path for path in installed.sources if path.parts[0] in WHOLE and path not in LEFT_OUT]

    for path in [*templates, *(path for path in files if path.name != "templates")]:
        assert (installed.root / path).read_bytes() == (installed.checkout / path).read_bytes()


def test_its_pages_lead_to_what_is_there(installed: Package) -> None:
    pages = sorted(installed.root.rglob("*.md"))

    links = {(page, link) for page in pages for link in LINK.findall(page.read_text())}
    assert len(links) > 10
    assert {(str(page), link) for page, link in links if not (page.parent / link).exists()} == set()
