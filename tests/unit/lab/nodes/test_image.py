# SPDX-License-Identifier: GPL-3.0-or-later
"""What goes into the image of a node, and what tells one image from another."""

from __future__ import annotations

import re
import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
import yaml
from jinja2.nativetypes import NativeEnvironment

from lab import paths
from lab.host import HostError
from lab.nodes import image

ROOT = Path(__file__).parents[4]
INSTALL = ROOT / "lab/nodes/rootfs/install.sh"
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


ORACLE = image.Base("registry.example/os/oraclelinux:9", "0d163dfa5b98")


def built_from(base: image.Base, ca: Path, monkeypatch: pytest.MonkeyPatch) -> tuple[list[str], dict[str, str]]:
    """How podman is called to make a node of a container image, and the files that it is given."""
    calls: list[list[str]] = []
    files: dict[str, str] = {}

    def run(*argv: str) -> subprocess.CompletedProcess[str]:
        calls.append(list(argv))
        if "build" in argv:
            context = Path(argv[-1])
            files.update(
                {str(f.relative_to(context)): f.read_text(encoding="utf-8") for f in context.rglob("*") if f.is_file()}
            )
        return subprocess.CompletedProcess(argv, 0, "", "")

    monkeypatch.setattr(image, "run", run)
    image.build(base, image.tag(base, ca), ca)
    return calls[0], files


def test_a_container_image_becomes_a_machine(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    command, files = built_from(ORACLE, ca, monkeypatch)

    assert command[0] == "podman"
    assert command[command.index("--tag") + 1] == image.tag(ORACLE, ca)
    steps = files["Containerfile"].splitlines()
    # The one that the tag is about, whatever the name means by now.
    assert steps[0] == f"FROM {ORACLE.id}"
    assert re.findall(r"sh (/lab/\S+)", files["Containerfile"]) == ["/lab/install.sh", "/lab/customize.sh"]
    used = set(re.findall(r"/lab/([\w.-]+)", files["lab/install.sh"] + files["lab/customize.sh"])) - {"network.sh"}
    assert {f"lab/{name}" for name in used} <= set(files)


def test_both_ways_to_a_node_install_the_same_packages_of_debian(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    debian, _ = built("bookworm", ca, monkeypatch)
    _, files = built_from(ORACLE, ca, monkeypatch)

    assert f"--include={','.join(files['lab/debian-packages'].split())}" in debian


def test_no_package_is_fetched_that_a_distribution_may_lack(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _, debian = built("bookworm", ca, monkeypatch)
    _, files = built_from(ORACLE, ca, monkeypatch)

    fetched = {*files["lab/cached-packages"].split()}
    # Ubuntu 24.04 has it in parts.
    assert {*debian["lab/cached-packages"].split()} - fetched == {"resource-agents"}


def test_an_image_made_of_another_is_named_by_it_and_by_what_it_is_now(ca: Path) -> None:
    name = image.tag(ORACLE, ca)

    assert re.fullmatch(r"localhost/cloudvip-lab:from-registry\.example-os-oraclelinux-9-[0-9a-f]{12}", name)
    assert image.tag(ORACLE._replace(id="7d9002923983"), ca) != name
    assert image.tag(image.Base("bookworm", "7d9002923983"), ca).startswith("localhost/cloudvip-lab:from-bookworm-")
    # podman takes 128 characters.
    assert len(image.tag(image.Base(f"registry.example/{'x' * 150}:9", "7d90"), ca).partition(":")[2]) < 128


def test_only_predecessors_of_the_same_source_are_dropped(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    old, *others = (
        "localhost/cloudvip-lab:from-registry.example-os-oraclelinux-9-000000000000",
        "localhost/cloudvip-lab:from-registry.example-os-oraclelinux-9-slim-000000000000",
        "localhost/cloudvip-lab:bookworm-000000000000",
    )
    listed = "\n".join([old, *others, image.tag(ORACLE, ca)])
    dropped: list[str] = []
    monkeypatch.setattr(image, "run", lambda *argv: subprocess.CompletedProcess(argv, 0, listed, ""))
    monkeypatch.setattr(subprocess, "run", lambda argv, **_: dropped.append(argv[-1]))

    image.build(ORACLE, image.tag(ORACLE, ca), ca)

    assert dropped == [old]


class Podman:
    """A podman with a registry that may or may not be reached."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, here: Iterable[str] = (), there: Iterable[str] = ()) -> None:
        self.here = set(here)
        self.there = set(there)
        self.pulled: list[str] = []
        monkeypatch.setattr(image, "exists", self.here.__contains__)
        monkeypatch.setattr(image, "run", self.run)

    def run(self, *argv: str) -> subprocess.CompletedProcess[str]:
        reference = argv[-1]
        if argv[1] == "pull":
            if reference not in self.there:
                raise HostError(f"{' '.join(argv)}: Error: pinging container registry: connection refused")
            self.pulled.append(reference)
            self.here.add(reference)
        elif "build" in argv:
            raise HostError(f"{' '.join(argv)}: there is neither apt-get nor dnf in this image")
        return subprocess.CompletedProcess(argv, 0, f"id of {reference}\n" if reference in self.here else "", "")


def test_an_image_that_is_here_is_not_asked_of_its_registry(monkeypatch: pytest.MonkeyPatch) -> None:
    podman = Podman(monkeypatch, here=["localhost/mine:1"], there=["localhost/mine:1"])

    assert image.pull("localhost/mine:1") == image.Base("localhost/mine:1", "id of localhost/mine:1")
    assert podman.pulled == []


def test_an_image_that_is_not_here_is_pulled(monkeypatch: pytest.MonkeyPatch) -> None:
    podman = Podman(monkeypatch, there=["rockylinux:9"])

    assert image.pull("rockylinux:9") == image.Base("rockylinux:9", "id of rockylinux:9")
    assert podman.pulled == ["rockylinux:9"]


def test_an_image_that_cannot_be_had_is_named_with_what_podman_says(monkeypatch: pytest.MonkeyPatch) -> None:
    Podman(monkeypatch)

    with pytest.raises(HostError, match=r"^no image rockylinux:9: .*connection refused"):
        image.pull("rockylinux:9")


def test_an_image_of_which_no_node_can_be_made_is_named(ca: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Podman(monkeypatch)

    with pytest.raises(HostError, match=rf"^the image {ORACLE.reference} .*neither apt-get nor dnf"):
        image.build(ORACLE, image.tag(ORACLE, ca), ca)


def install(programs: Path) -> subprocess.CompletedProcess[str]:
    """Run install.sh as far as it gets with nothing but these programs: no further than the first package manager."""
    return subprocess.run(
        ["/bin/sh", str(INSTALL)], env={"PATH": str(programs)}, capture_output=True, text=True, check=False
    )


def test_an_image_without_a_package_manager_is_refused(tmp_path: Path) -> None:
    done = install(tmp_path)

    assert (done.returncode, done.stderr) == (1, "there is neither apt-get nor dnf in this image\n")


def test_dnf_installs_what_is_not_there(tmp_path: Path) -> None:
    """Some have curl from curl-minimal, which the package curl would be in conflict with."""
    for name in ("dnf", "curl"):
        (tmp_path / name).write_text('#!/bin/sh\necho "$@"\nexit 3\n', encoding="ascii")
        (tmp_path / name).chmod(0o755)

    done = install(tmp_path)

    assert done.returncode == 3
    asked = done.stdout.split()
    assert {"install", "--assumeyes", "NetworkManager", "firewalld", "iproute", "openssh-server", "sudo"} <= {*asked}
    assert "curl" not in asked


@pytest.mark.parametrize(
    ("repositories", "enabled"),
    [
        ("baseos on\nha off\nha-debuginfo off\n", ["ha"]),
        ("baseos on\nhighavailability off\nhighavailability-source off\n", ["highavailability"]),
        ("ol9_addons off\nol9_baseos_latest on\n", []),
    ],
)
def test_the_packages_of_a_cluster_can_be_had(tmp_path: Path, repositories: str, enabled: list[str]) -> None:
    (tmp_path / "repositories").write_text(repositories, encoding="ascii")
    cat = f'while read -r line; do echo "$line"; done <{tmp_path}/repositories'
    dnf = f'#!/bin/sh\ncase "$*" in *repolist*) {cat} ;; config-manager*) echo "$@" ;; esac\n'
    (tmp_path / "dnf").write_text(dnf, encoding="ascii")
    # No further than to what comes next.
    (tmp_path / "systemctl").write_text("#!/bin/sh\nexit 3\n", encoding="ascii")
    for name in ("dnf", "systemctl"):
        (tmp_path / name).chmod(0o755)
    (tmp_path / "awk").symlink_to(str(shutil.which("awk")))

    done = install(tmp_path)

    assert done.returncode == 3
    assert done.stdout.splitlines() == [f"config-manager --set-enabled {name}" for name in enabled]


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
