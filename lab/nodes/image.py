# SPDX-License-Identifier: GPL-3.0-or-later
"""The node image: a plain Debian release with what a cloud's image has, built once and cached by its ingredients.

Some are in the shape of an Oracle Linux: its facts, dnf with its repositories, and packages, services and files of its
names. What the packages hold is Debian's all the same.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import lab.echo
from lab import paths
from lab.host import run

DEBIAN = ("bookworm", "bullseye", "trixie")
"""The Debian releases that a node can be made of; the first is the default."""


class Shape(NamedTuple):
    """What looks like an Oracle Linux to whoever asks: which one, and the Debian release that it is made of."""

    major: int
    debian: str


SHAPES = {"el8-shaped": Shape(8, "bookworm"), "el9-shaped": Shape(9, "bookworm"), "el10-shaped": Shape(10, "trixie")}
RELEASES = (*DEBIAN, *SHAPES)
# The security archive of a release past its support names packages that it no longer has.
_HOOKS = {"bullseye": ['--setup-hook=sed -i /-security/d "$1/etc/apt/sources.list"']}
REPOSITORY = "localhost/cloudvip-lab"
_PACKAGES = (
    "systemd,systemd-sysv,dbus,udev,kmod,openssh-server,sudo,python3,python3-apt,iproute2,iputils-ping,curl,procps,"
    "netbase,ca-certificates,openssl,less"
)
_CACHED_PACKAGES = (
    "chrony", "corosync", "firewalld", "keepalived", "pacemaker", "pacemaker-cli-utils", "pcs", "resource-agents",
)  # fmt: skip
# What a shaped node is made of besides: dnf and its tools, what Enterprise Linux has as a part of another package, and
# what the image's own packages get their content from.
_SHAPED_PACKAGES = (
    "createrepo-c", "dnf", "dnf-plugins-core", "libxml2-utils", "network-manager", "python3-systemd", "python3-venv",
    "rpm", *_CACHED_PACKAGES,
)  # fmt: skip
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def ensure_ssh_keys() -> None:
    """The key pair that opens every node of this lab, and the one that every node shows."""
    paths.SSH_KEY.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    for key in (paths.SSH_KEY, paths.SSH_HOST_KEY):
        if not key.exists():
            run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "cloudvip-lab", "-f", str(key))
    # Every node has the same host key, and this file is for the lab's nodes alone.
    public = paths.SSH_HOST_KEY.with_suffix(".pub").read_text(encoding="ascii").split()
    paths.KNOWN_HOSTS.write_text(f"* {public[0]} {public[1]}\n", encoding="ascii")


def _ingredients(release: str, ca: Path) -> dict[str, bytes]:
    rootfs = resources.files("lab.nodes.rootfs")
    return {
        **{name: rootfs.joinpath(name).read_bytes() for name in ("customize.sh", "lab-echo.service", "public.xml")},
        "authorized_keys": paths.SSH_KEY.with_suffix(".pub").read_bytes(),
        "ca.pem": ca.read_bytes(),
        "cached-packages": _lines(_SHAPED_PACKAGES if release in SHAPES else _CACHED_PACKAGES),
        "echo.py": Path(lab.echo.__file__).read_bytes(),
        "host-key": paths.SSH_HOST_KEY.read_bytes(),
    }


def _shape_files(release: str) -> dict[str, bytes]:
    """What gives a node its shape."""
    if release not in SHAPES:
        return {}
    files = resources.files("lab.nodes.enterprise")
    names = ("build.sh", "lab-network.service", "lab-network.sh", "packages.spec")
    return {**{name: files.joinpath(name).read_bytes() for name in names}, "debian-packages": _lines(_SHAPED_PACKAGES)}


def _lines(words: tuple[str, ...]) -> bytes:
    return "\n".join(words).encode() + b"\n"


def tag(release: str, ca: Path) -> str:
    """The image's name; it changes with anything that goes into the image."""
    digest = hashlib.sha256(f"{SHAPES.get(release, release)} {_HOOKS.get(release)} {_PACKAGES} {_EXCLUDED}".encode())
    for name, content in (*sorted(_ingredients(release, ca).items()), *sorted(_shape_files(release).items())):
        digest.update(name.encode() + b"\0" + content + b"\0")
    return f"{REPOSITORY}:{release}-{digest.hexdigest()[:12]}"


def exists(name: str) -> bool:
    """Whether the image is there."""
    return subprocess.run(["podman", "image", "exists", name], check=False).returncode == 0


def _write(directory: Path, files: dict[str, bytes]) -> None:
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)


def build(release: str, name: str, ca: Path) -> None:
    """Build and import the image and drop its predecessors of that release. Raises HostError: the builder's words."""
    with tempfile.TemporaryDirectory(prefix="cloudvip-lab-image-") as scratch:
        files = Path(scratch, "lab")
        _write(files, _ingredients(release, ca))
        debian, shaping = release, []
        if shape := SHAPES.get(release):
            enterprise = Path(scratch, "enterprise")
            _write(enterprise, _shape_files(release))
            debian = shape.debian
            shaping = [
                f"--customize-hook=copy-in {enterprise} /",
                f'--customize-hook=chroot "$1" sh /enterprise/build.sh {shape.major}',
            ]
        tar = Path(scratch, "rootfs.tar")
        command = [
            "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={_PACKAGES}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED),
            "--skip=cleanup/apt",
            *_HOOKS.get(debian, []),
            f"--customize-hook=copy-in {files} /",
            '--customize-hook=chroot "$1" sh /lab/customize.sh',
            *shaping,
            debian, str(tar),
        ]  # fmt: skip
        run(*command)
        run("podman", "import", str(tar), name)
    listed = run("podman", "images", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY).stdout.split()
    for old in listed:
        if old != name and old.startswith(f"{REPOSITORY}:{release}-"):
            subprocess.run(["podman", "rmi", "--force", old], capture_output=True, check=False)


def remove_all() -> None:
    """Drop the cached images."""
    if shutil.which("podman"):
        for image in run("podman", "images", "--quiet", "--filter", f"reference={REPOSITORY}").stdout.split():
            run("podman", "rmi", "--force", image)
