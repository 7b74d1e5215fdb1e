# SPDX-License-Identifier: GPL-3.0-or-later
"""The node image: a plain Debian release with what a cloud's image has, built once and cached by its ingredients."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from importlib import resources
from pathlib import Path

import lab.echo
from lab import paths
from lab.host import run

RELEASE = "bookworm"
REPOSITORY = "localhost/cloudvip-lab"
_PACKAGES = (
    "systemd,systemd-sysv,dbus,udev,kmod,openssh-server,sudo,python3,python3-apt,iproute2,iputils-ping,curl,procps,"
    "netbase,ca-certificates,openssl,less"
)
_CACHED_PACKAGES = (
    "chrony", "corosync", "firewalld", "keepalived", "pacemaker", "pacemaker-cli-utils", "pcs", "resource-agents",
)  # fmt: skip
_HOST_KEY = "/etc/ssh/ssh_host_ed25519_key.pub"
_EXCLUDED = ("/usr/share/doc/*", "/usr/share/man/*", "/usr/share/locale/*", "/usr/share/info/*")


def ensure_ssh_key() -> None:
    """The key pair that opens every node of this lab."""
    if not paths.SSH_KEY.exists():
        paths.SSH_KEY.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        run("ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "cloudvip-lab", "-f", str(paths.SSH_KEY))


def _ingredients(ca: Path) -> dict[str, bytes]:
    rootfs = resources.files("lab.nodes.rootfs")
    return {
        **{name: rootfs.joinpath(name).read_bytes() for name in ("customize.sh", "lab-echo.service", "public.xml")},
        "authorized_keys": paths.SSH_KEY.with_suffix(".pub").read_bytes(),
        "ca.pem": ca.read_bytes(),
        "cached-packages": "\n".join(_CACHED_PACKAGES).encode() + b"\n",
        "echo.py": Path(lab.echo.__file__).read_bytes(),
    }


def tag(ca: Path) -> str:
    """The image's name; it changes with anything that goes into the image."""
    digest = hashlib.sha256(f"{RELEASE} {_PACKAGES} {_EXCLUDED}".encode())
    for name, content in sorted(_ingredients(ca).items()):
        digest.update(name.encode() + b"\0" + content + b"\0")
    return f"{REPOSITORY}:{RELEASE}-{digest.hexdigest()[:12]}"


def exists(name: str) -> bool:
    """Whether the image and what was read out of it at its build are there."""
    built = subprocess.run(["podman", "image", "exists", name], check=False).returncode == 0
    return built and paths.KNOWN_HOSTS.exists()


def build(name: str, ca: Path) -> None:
    """Build and import the image and drop its predecessors. Raises HostError with the builder's last words."""
    with tempfile.TemporaryDirectory(prefix="cloudvip-lab-image-") as scratch:
        files = Path(scratch, "lab")
        files.mkdir()
        for file, content in _ingredients(ca).items():
            (files / file).write_bytes(content)
        tar = Path(scratch, "rootfs.tar")
        command = [
            "mmdebstrap", "--mode=root", "--variant=minbase", f"--include={_PACKAGES}",
            *(f"--dpkgopt=path-exclude={pattern}" for pattern in _EXCLUDED),
            "--skip=cleanup/apt",
            f"--customize-hook=copy-in {files} /",
            '--customize-hook=chroot "$1" sh /lab/customize.sh',
            f"--customize-hook=copy-out {_HOST_KEY} {scratch}",
            RELEASE, str(tar),
        ]  # fmt: skip
        run(*command)
        run("podman", "import", str(tar), name)
        key = " ".join(Path(scratch, Path(_HOST_KEY).name).read_text(encoding="ascii").split()[:2])
        # Every node has the image's key, and this file is for the lab's nodes alone.
        paths.KNOWN_HOSTS.write_text(f"* {key}\n", encoding="ascii")
    for old in run("podman", "images", "--quiet", "--filter", f"reference={REPOSITORY}").stdout.split():
        if old not in run("podman", "images", "--quiet", name).stdout.split():
            subprocess.run(["podman", "rmi", "--force", old], capture_output=True, check=False)


def remove_all() -> None:
    """Drop the cached images."""
    if shutil.which("podman"):
        for image in run("podman", "images", "--quiet", "--filter", f"reference={REPOSITORY}").stdout.split():
            run("podman", "rmi", "--force", image)
