#!/bin/sh
# Runs in a container image, before customize.sh: what a cloud's image has and a container's has not. The rest of the
# release is left as it is.
set -eu

if command -v apt-get >/dev/null; then
  # What keeps a container's image small would empty the package cache.
  rm -f /etc/apt/apt.conf.d/docker-clean
  # Nothing is to start here, but services do on the node; images have this file for good.
  printf '#!/bin/sh\nexit 101\n' >/usr/sbin/policy-rc.d
  chmod 0755 /usr/sbin/policy-rc.d
  apt-get update
  DEBIAN_FRONTEND=noninteractive xargs apt-get install --yes --no-install-recommends </lab/debian-packages
  rm /usr/sbin/policy-rc.d
elif command -v dnf >/dev/null; then
  # A program that is there stays, whatever its package is called (curl-minimal).
  set -- dnf-plugins-core
  while read -r program package; do
    command -v "$program" >/dev/null || set -- "$@" "$package"
  done <<'END'
/sbin/init systemd
NetworkManager NetworkManager
awk gawk
curl curl
find findutils
firewall-cmd firewalld
hostname hostname
ip iproute
kmod kmod
less less
openssl openssl
ping iputils
python3 python3
sshd openssh-server
sudo sudo
sysctl procps-ng
tar tar
udevadm systemd-udev
update-ca-trust ca-certificates
useradd shadow-utils
END
  dnf install --assumeyes --setopt=install_weak_deps=False "$@"

  # With the packages of a cluster. The role enables Oracle's, which is called otherwise; those of others are for whoever
  # makes the image.
  for repository in $(dnf --quiet repolist --all | awk '/^(ha|highavailability) / { print $1 }'); do
    dnf config-manager --set-enabled "$repository"
  done

  # The release's presets say so too, unless a package came before systemd.
  for unit in sshd NetworkManager firewalld; do
    systemctl is-enabled --quiet "$unit" || systemctl enable "$unit"
  done
  install -D -m 0755 /lab/lab-network.sh /usr/local/lib/lab/network.sh
  install -m 0644 /lab/lab-network.service /etc/systemd/system/lab-network.service
  systemctl enable lab-network.service
  # A journal outlives a power cut.
  install -d -m 2755 -g systemd-journal /var/log/journal
  # The clock is that of the machine that the lab runs on. Debian's chrony finds out that it is in a container.
  mkdir -p /etc/sysconfig
  printf 'OPTIONS="-x"\n' >/etc/sysconfig/chronyd
else
  echo 'there is neither apt-get nor dnf in this image' >&2
  exit 1
fi
