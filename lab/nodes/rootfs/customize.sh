#!/bin/sh
# Runs in the new root file system, of Debian or of Enterprise Linux: what a cloud's image has, plus the lab's trust, key
# and echo server.
set -eu

id opc >/dev/null 2>&1 || useradd --create-home --shell /bin/bash opc
printf 'opc ALL=(ALL) NOPASSWD: ALL\n' >/etc/sudoers.d/opc
chmod 0440 /etc/sudoers.d/opc
install -d -m 0700 -o opc -g opc /home/opc/.ssh
install -m 0600 -o opc -g opc /lab/authorized_keys /home/opc/.ssh/authorized_keys
rm -f /etc/ssh/ssh_host_*
install -m 0600 /lab/host-key /etc/ssh/ssh_host_ed25519_key
ssh-keygen -y -f /etc/ssh/ssh_host_ed25519_key >/etc/ssh/ssh_host_ed25519_key.pub
# Enterprise Linux 8 has no such directory, and does not look up names anyway.
test ! -d /etc/ssh/sshd_config.d || printf 'UseDNS no\n' >/etc/ssh/sshd_config.d/lab.conf
install -D -m 0644 /lab/public.xml /etc/firewalld/zones/public.xml
if command -v update-ca-trust >/dev/null; then
  install -m 0644 /lab/ca.pem /etc/pki/ca-trust/source/anchors/cloudvip-lab.pem
  update-ca-trust
else
  install -D -m 0644 /lab/ca.pem /usr/local/share/ca-certificates/cloudvip-lab.crt
  update-ca-certificates
fi
install -D -m 0644 /lab/echo.py /usr/local/lib/lab/echo.py
install -D -m 0644 /lab/lab-echo.service /etc/systemd/system/lab-echo.service
systemctl enable lab-echo.service
# With its alias, which an upgrade restarts.
systemctl mask systemd-udevd.service udev.service
systemctl mask getty.target console-getty.service systemd-udev-trigger.service apt-daily.timer \
  apt-daily-upgrade.timer dnf-makecache.timer systemd-networkd-wait-online.service
# A node's kernel is the machine's, whose settings outside the network are not a node's to make.
install -d /etc/systemd/system/systemd-sysctl.service.d
printf '[Service]\nExecStart=\nExecStart=/lib/systemd/systemd-sysctl --prefix=net\n' \
  >/etc/systemd/system/systemd-sysctl.service.d/lab.conf
printf '127.0.0.1 localhost\n' >/etc/hosts
: >/etc/machine-id

if command -v apt-get >/dev/null; then
  # No power cut of the host matters to a container; fsync of every file does.
  printf 'force-unsafe-io\n' >/etc/dpkg/dpkg.cfg.d/lab
  printf 'APT::Keep-Downloaded-Packages "true";\n' >/etc/apt/apt.conf.d/90lab

  # A warm package cache, nothing installed from it: the nodes install the cluster stack themselves.
  apt-get update
  xargs apt-get install --yes --download-only --no-install-recommends </lab/cached-packages
fi
rm -rf /lab
