#!/bin/sh
# Runs in the root file system of a Debian node with a warm package cache, and gives it the shape of an Oracle Linux: its
# facts, dnf and rpm with its repositories, and packages of its names. Their content is Debian's; what the roles install
# is not there until dnf has installed it. Its argument is the major version.
set -eu
el=$1

export DEBIAN_FRONTEND=noninteractive
xargs apt-get install --yes --no-install-recommends </enterprise/debian-packages
# Debian enables what it installs, Enterprise Linux does not.
systemctl disable chrony corosync keepalived logd pacemaker pcsd pcsd-ruby

# Debian's rpm has a database for each user.
mkdir --parents /etc/rpm
printf '%%_dbpath /var/lib/rpm\n' >/etc/rpm/macros
rm -f /etc/pacemaker/authkey /etc/chrony/chrony.*
rpmbuild -bb --quiet --define "el $el" --define '_topdir /enterprise/rpmbuild' /enterprise/packages.spec
userdel hacluster
groupdel --force haclient

rpm --query --package --queryformat '%{GROUP} %{NAME}\n' /enterprise/rpmbuild/RPMS/*/*.rpm | while read -r repository name; do
  mkdir --parents "/srv/yum/$repository"
  mv /enterprise/rpmbuild/RPMS/*/"$name-$el-"*.rpm "/srv/yum/$repository"
done
for repository in /srv/yum/*; do
  createrepo_c --quiet "$repository"
done

# No role can fall back on them. What is in /etc/apt is for the builder to remove.
rm -rf /usr/bin/apt* /usr/bin/dpkg* /usr/lib/python3/dist-packages/apt* /var/cache/apt /var/lib/apt /var/lib/dpkg
rm -f /etc/os-release /usr/lib/os-release /etc/debian_version
printf '[main]\ngpgcheck=1\ninstallonly_limit=3\nclean_requirements_on_remove=True\nbest=True\nskip_if_unavailable=False\n' \
  >/etc/dnf/dnf.conf
rpm --install "/srv/yum/ol${el}_baseos_latest/oraclelinux-release-"*.rpm
# A repository of its own, which Debian's dnf has besides.
rm /etc/dnf/plugins/local.conf /usr/lib/python3/dist-packages/dnf-plugins/local.py
# What a cloud's image has.
dnf install --assumeyes --quiet NetworkManager ca-certificates dnf-plugins-core firewalld iproute openssl procps-ng
mkdir --parents /etc/pki/tls/certs
ln -s /etc/ssl/certs/ca-certificates.crt /etc/pki/tls/certs/ca-bundle.crt
printf 'Defaults secure_path = /sbin:/bin:/usr/sbin:/usr/bin\n' >/etc/sudoers.d/secure_path

install -D -m 0755 /enterprise/lab-network.sh /usr/local/lib/lab/network.sh
install -m 0644 /enterprise/lab-network.service /etc/systemd/system/lab-network.service
systemctl enable NetworkManager firewalld lab-network
rm -rf /enterprise
