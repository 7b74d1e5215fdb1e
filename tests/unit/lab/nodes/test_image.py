# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into the image of a node, and what tells one image from another."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from lab import paths
from lab.nodes import image

ROOT = Path(__file__).parents[4]
SPEC = (ROOT / "lab/nodes/enterprise/packages.spec").read_text(encoding="utf-8")


@pytest.fixture
def ca(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The CA of a lab that has its keys."""
    for name in ("SSH_KEY", "SSH_HOST_KEY"):
        key = tmp_path / name
        for file in (key, key.with_suffix(".pub")):
            file.write_text("key\n", encoding="ascii")
        monkeypatch.setattr(paths, name, key)
    (tmp_path / "ca.pem").write_text("ca\n", encoding="ascii")
    return tmp_path / "ca.pem"


def built(release: str, ca: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], dict[str, str]]:
    """How the builder is called for a release, and the files that it is told to copy in."""
    calls: list[list[str]] = []
    files: dict[str, str] = {}

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        calls.append(list(argv))
        for source in re.findall(r"^--customize-hook=copy-in (\S+) /$", "\n".join(argv), re.MULTILINE):
            files.update(
                {f"{Path(source).name}/{f.name}": f.read_text(encoding="utf-8") for f in Path(source).iterdir()}
            )
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(image, "run", run)
    image.build(release, image.tag(release, ca), ca)
    return calls[0], files


@pytest.mark.parametrize("release", image.DEBIAN)
def test_a_debian_is_only_itself(release: str, ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command, files = built(release, ca, monkeypatch)

    assert command[-2] == release
    assert {name.partition("/")[0] for name in files} == {"lab"}
    assert "enterprise" not in " ".join(command)


@pytest.mark.parametrize(
    ("release", "debian", "major"),
    [("el8-shaped", "bookworm", "8"), ("el9-shaped", "bookworm", "9"), ("el10-shaped", "trixie", "10")],
)
def test_a_shape_is_given_to_a_debian(
    release: str, debian: str, major: str, ca: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    command, files = built(release, ca, monkeypatch)

    assert command[-2] == debian
    hooks = [argument for argument in command if argument.startswith("--customize-hook=chroot")]
    assert [hook.split(" sh ")[1] for hook in hooks] == ["/lab/customize.sh", f"/enterprise/build.sh {major}"]
    # What it installs without a network is what the first hook has fetched.
    assert files["enterprise/debian-packages"] == files["lab/cached-packages"]
    used = set(re.findall(r"/enterprise/([\w.-]+)", files["enterprise/build.sh"])) - {"rpmbuild"}
    assert {f"enterprise/{name}" for name in used} <= set(files)


def test_an_image_is_named_by_what_goes_into_it(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = {release: image.tag(release, ca) for release in image.RELEASES}
    assert len({name.rpartition("-")[2] for name in before.values()}) == len(image.RELEASES)

    monkeypatch.setitem(image.SHAPES, "el9-shaped", image.Shape(9, "trixie"))

    assert {r for r in image.RELEASES if image.tag(r, ca) != before[r]} == {"el9-shaped"}


def repositories(major: int) -> dict[str, str]:
    """By package of a shape the repository that has it."""
    names = re.findall(r"^%(?:shaped|stub) (\w+) (\S+)", SPEC, re.MULTILINE)
    cli = {8: "python36-oci-cli", 9: "python39-oci-cli"}
    return {
        name.replace("%{el}", str(major)).replace("%{oci_cli}", cli.get(major, "")): repository
        for repository, name in names
        if major < 10 or repository != "developer"
    }


def platform(role: str, major: int) -> dict[str, Any]:
    """What a role calls things on an Oracle Linux."""
    facts = {"distribution_major_version": str(major)}
    values: dict[str, Any] = {}
    for name in ("main", "RedHat", f"RedHat_{major}", "OracleLinux", f"OracleLinux_{major}"):
        path = ROOT / "roles" / role / "vars" / f"{name}.yml"
        values |= yaml.safe_load(path.read_text(encoding="utf-8")) if path.exists() else {}
    environment = NativeEnvironment()
    return {
        name: [environment.from_string(item).render(ansible_facts=facts) for item in value]
        for name, value in values.items()
        if isinstance(value, list)
    } | {name: value for name, value in values.items() if isinstance(value, str)}


@pytest.mark.parametrize("major", [8, 9, 10])
def test_a_shape_has_the_packages_that_the_roles_name(major: int) -> None:
    node, pacemaker, cli = (platform(role, major) for role in ("node", "pacemaker", "oci_cli"))
    wanted = {
        *node["__node_base_packages"], "chrony", "firewalld", "keepalived",
        *pacemaker["__pacemaker_packages"], *cli["__oci_cli_packages"],
    }  # fmt: skip
    wanted |= {cli["__oci_cli_repository"]} if "__oci_cli_repository" in cli else set()

    assert wanted - set(repositories(major)) == set()


@pytest.mark.parametrize("major", [8, 9, 10])
def test_pacemaker_is_in_a_repository_that_has_to_be_enabled(major: int) -> None:
    (wanted,) = platform("pacemaker", major)["__pacemaker_repositories"]
    found = {repositories(major)[name] for name in ("corosync", "pacemaker", "pcs", "resource-agents")}

    assert {f"ol{major}_{name}" for name in found} == {wanted}
    assert re.findall(r"^  repository (\w+) 0$", SPEC, re.MULTILINE) == list(found)
