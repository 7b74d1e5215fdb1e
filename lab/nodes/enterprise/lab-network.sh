#!/bin/sh
# What udev and cloud-init do on a machine in a cloud. Each interface is known to NetworkManager; one to which the lab has
# given an address is bare, and has a keyfile that gives it the address again.
set -eu
mkdir -p /run/udev/data
for link in /sys/class/net/*; do
  name=${link##*/}
  printf 'I:1\n' >"/run/udev/data/n$(cat "$link/ifindex")"
  address=$(ip -oneline -4 address show dev "$name" scope global | awk '{ print $4; exit }')
  test -n "$address" || continue
  gateway=$(ip -4 route show default dev "$name" | awk '{ print $3; exit }')
  file=/etc/NetworkManager/system-connections/$name.nmconnection
  {
    printf '[connection]\nid=%s\ntype=ethernet\ninterface-name=%s\n[ipv6]\nmethod=ignore\n' "$name" "$name"
    printf '[ipv4]\nmethod=manual\naddress1=%s%s\n' "$address" "${gateway:+,$gateway}"
    test -z "$gateway" || sed -n 's/^nameserver /dns=/p' /etc/resolv.conf
  } >"$file"
  chmod 0600 "$file"
  ip address flush dev "$name"
  ip link set dev "$name" down
done
