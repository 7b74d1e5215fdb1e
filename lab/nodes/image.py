# SPDX-License-Identifier: GPL-3.0-or-later
"""The node image: a plain system with what a cloud's image has, built once and cached by its ingredients.

It is a Debian release, or an ordinary container image from a registry. Some releases are in the shape of an Oracle
Linux: its facts, dnf with its repositories, and packages, services and files of its names. What the packages hold is
Debian's all the same.
"""

from __future__ import annotations

import hashlib
import re
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path
from typing import NamedTuple

import lab.echo
from lab import paths
from lab.host import HostError, run

DEBIAN = ("bookworm", "bullseye", "trixie")
"""The Debian releases that a node can be made of; the first is the default."""


class Base(NamedTuple):
    """An ordinary container image that nodes are made of: what it is called, and which one that is now."""

    reference: str
    id: str

    def __str__(self) -> str:
        return self.reference


class Shape(NamedTuple):
    """What looks like an Oracle Linux to whoever asks: which one, and the Debian release that it is made of."""

    major: int
    debian: str


SHAPES = {"el8-shaped": Shape(8, "bookworm"), "el9-shaped": Shape(9, "bookworm"), "el10-shaped": Shape(10, "trixie")}
RELEASES = (*DEBIAN, *SHAPES)
_HOOKS = {
    "bullseye": [
        # The security archive of a release past its support names packages that it no longer has.
        '--setup-hook=sed -i /-security/d "$1/etc/apt/sources.list"',
        # As the installer and the images of clouds have it; the upgrade to the next release insists on it.
        '--setup-hook=for d in bin sbin lib lib64; do mkdir -p "$1/usr/$d" && ln -s "usr/$d" "$1/$d"; done',
    ]
}
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
# `lab/` is beside it. An image of a service has a user and a program of its own, where a machine has root and init.
_CONTAINERFILE = """\
FROM {id}
USER root
COPY lab /lab
RUN sh /lab/install.sh && sh /lab/customize.sh
ENTRYPOINT []
STOPSIGNAL SIGRTMIN+3
"""
# A chroot needs no more than root and the machine's network. /etc/hosts is the image's own, because customize.sh writes
# it; one layer, so that what is removed is gone.
_PODMAN_BUILD = (
    "podman", "--runtime", "runc", "--cgroup-manager", "cgroupfs", "build", "--isolation", "chroot",
    "--network", "host", "--no-hosts", "--pull=missing", "--layers=false",
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


def _ingredients(source: str | Base, ca: Path) -> dict[str, bytes]:
    rootfs = resources.files("lab.nodes.rootfs")
    return {
        **{name: rootfs.joinpath(name).read_bytes() for name in ("customize.sh", "lab-echo.service", "public.xml")},
        "authorized_keys": paths.SSH_KEY.with_suffix(".pub").read_bytes(),
        "ca.pem": ca.read_bytes(),
        "cached-packages": _lines(_cached_packages(source)),
        "echo.py": Path(lab.echo.__file__).read_bytes(),
        "host-key": paths.SSH_HOST_KEY.read_bytes(),
        **(_machine_files() if isinstance(source, Base) else {}),
    }


def _cached_packages(source: str | Base) -> tuple[str, ...]:
    if isinstance(source, Base):
        # Not every release of every distribution has it, and whatever lacks one of these does not become a node.
        return tuple(name for name in _CACHED_PACKAGES if name != "resource-agents")
    return _SHAPED_PACKAGES if source in SHAPES else _CACHED_PACKAGES


def _machine_files() -> dict[str, bytes]:
    """What makes a machine of a container image."""
    enterprise = resources.files("lab.nodes.enterprise")
    return {
        "install.sh": resources.files("lab.nodes.rootfs").joinpath("install.sh").read_bytes(),
        **{name: enterprise.joinpath(name).read_bytes() for name in ("lab-network.service", "lab-network.sh")},
        "debian-packages": _lines(tuple(_PACKAGES.split(","))),
    }


def _shape_files(source: str | Base) -> dict[str, bytes]:
    """What gives a node its shape."""
    if source not in SHAPES:
        return {}
    files = resources.files("lab.nodes.enterprise")
    names = ("build.sh", "lab-network.service", "lab-network.sh", "packages.spec")
    return {**{name: files.joinpath(name).read_bytes() for name in names}, "debian-packages": _lines(_SHAPED_PACKAGES)}


def _lines(words: tuple[str, ...]) -> bytes:
    return "\n".join(words).encode() + b"\n"


def pull(reference: str) -> Base:
    """The container image of that name, from its registry if it is not here. Raises HostError: podman's words."""
    try:
        if not exists(reference):
            run("podman", "pull", "--quiet", reference)
        found = run("podman", "image", "inspect", "--format", "{{.Id}}", reference)
    except HostError as error:
        raise HostError(f"no image {reference}: {error}") from error
    return Base(reference, found.stdout.strip())


def _label(source: str | Base) -> str:
    """The start of an image's tag, for people: no reference gives that of a release."""
    if isinstance(source, str):
        return source
    return "from-" + re.sub(r"[^A-Za-z0-9_.-]", "-", source.reference)[-80:]


def tag(source: str | Base, ca: Path) -> str:
    """The name of the image that is made of a release or a container image; it changes with anything that goes in."""
    if isinstance(source, Base):
        recipe = _CONTAINERFILE.format(id=source.id)
    else:
        recipe = f"{SHAPES.get(source, source)} {_HOOKS.get(source)} {_PACKAGES} {_EXCLUDED}"
    digest = hashlib.sha256(recipe.encode())
    for name, content in (*sorted(_ingredients(source, ca).items()), *sorted(_shape_files(source).items())):
        digest.update(name.encode() + b"\0" + content + b"\0")
    return f"{REPOSITORY}:{_label(source)}-{digest.hexdigest()[:12]}"


def exists(name: str) -> bool:
    """Whether the image is there."""
    return subprocess.run(["podman", "image", "exists", name], capture_output=True, check=False).returncode == 0


def _write(directory: Path, files: dict[str, bytes]) -> None:
    directory.mkdir()
    for name, content in files.items():
        (directory / name).write_bytes(content)


def build(source: str | Base, name: str, ca: Path) -> None:
    """Build the image and drop its predecessors of that source. Raises HostError: the builder's words."""
    with tempfile.TemporaryDirectory(prefix="cloudvip-lab-image-") as scratch:
        _write(Path(scratch, "lab"), _ingredients(source, ca))
        if isinstance(source, Base):
            _build_from_image(source, name, Path(scratch))
        else:
            _build_from_debian(source, name, Path(scratch))
    listed = run("podman", "images", "--format", "{{.Repository}}:{{.Tag}}", REPOSITORY).stdout.split()
    for old in listed:
        if old != name and old.rpartition("-")[0] == f"{REPOSITORY}:{_label(source)}":
            subprocess.run(["podman", "rmi", "--force", old], capture_output=True, check=False)


def _build_from_image(base: Base, name: str, scratch: Path) -> None:
    (scratch / "Containerfile").write_text(_CONTAINERFILE.format(id=base.id), encoding="ascii")
    try:
        run(*_PODMAN_BUILD, "--file", str(scratch / "Containerfile"), "--tag", name, str(scratch))
    except HostError as error:
        raise HostError(f"the image {base} does not make a node: {error}") from error


def _build_from_debian(release: str, name: str, scratch: Path) -> None:
    debian, shaping = release, []
    if shape := SHAPES.get(release):
        enterprise = scratch / "enterprise"
        _write(enterprise, _shape_files(release))
        debian = shape.debian
        shaping = [
            f"--customize-hook=copy-in {enterprise} /",
            f'--customize-hook=chroot "$1" sh /enterprise/build.sh {shape.major}',
        ]
    tar = scratch / "rootfs.tar"
    command = [
        "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={_PACKAGES}",
        *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED),
        "--skip=cleanup/apt",
        *_HOOKS.get(debian, []),
        f"--customize-hook=copy-in {scratch / 'lab'} /",
        '--customize-hook=chroot "$1" sh /lab/customize.sh',
        *shaping,
        debian, str(tar),
    ]  # fmt: skip
    run(*command)
    run("podman", "import", str(tar), name)


def remove_all() -> None:
    """Drop the cached images."""
    if shutil.which("podman"):
        for image in run("podman", "images", "--quiet", "--filter", f"reference={REPOSITORY}").stdout.split():
            run("podman", "rmi", "--force", image)
