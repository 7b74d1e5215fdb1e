# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of the role `oci`; their documentation stands beside this file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from ipaddress import ip_address
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils import _model, _problems
from ..module_utils._oci.network_security_group import peer_rules
from ..module_utils._oci.permissions import FEATURES, statements


def oci_private_ip_requests(
    model: Mapping[str, Any], state: str | None = None, vnics: Mapping[str, Mapping[str, Any]] | None = None
) -> list[dict[str, Any]]:
    """Return the option `private_ips` of `cloudvip.ha.oci_private_ip` for the VIPs of the model."""
    if state not in (None, "present", "absent"):
        raise AnsibleFilterError(f"state = {state!r}: expected present, absent or nothing")
    known, requests = vnics or {}, []
    for vip in _vips(model, state):
        # A node may have lost its VNIC for an absent POD already.
        vnic_ids = [vip["bindings"][node]["vnic_id"] for node in model["nodes"] if node in vip["bindings"]]
        # What a POD without VNICs has left is its removal's business: it, and its subnet, may have gone long ago.
        if state is None and not vnic_ids:
            continue
        given = None if vnic_ids else vip["subnet_id"]
        requests.append(
            {
                "address": vip["address"],
                "vnic_ids": vnic_ids,
                "subnet_id": next((known[v]["subnet_id"] for v in vnic_ids if v in known), given),
                "state": vip["state"],
                "display_name": vip["display_name"],
                "tags": dict(vip["tags"]),
                "label": f"cloudvip_vips ({vip['name']}).address",
            }
        )
    return requests


def oci_public_ip_requests(
    model: Mapping[str, Any], private_ips: Mapping[str, Mapping[str, Any]], state: str
) -> list[dict[str, Any]]:
    """Return the option `public_ips` of `cloudvip.ha.oci_public_ip` for the VIPs that have one."""
    # A public IP of an absent VIP is known by the private IP: of the same name, there may be others.
    return [
        {
            "private_ip_id": _object_id(vip, private_ips),
            "display_name": vip["display_name"],
            "tags": dict(vip["tags"]),
            "state": state,
            "label": f"cloudvip_vips ({vip['name']}).public_ip",
        }
        for vip in _vips(model, state)
        if vip["public_ip"] and (state == "present" or _object_id(vip, private_ips))
    ]


def oci_route_rules(
    model: Mapping[str, Any], private_ips: Mapping[str, Mapping[str, Any]], state: str
) -> dict[str, list[dict[str, Any]]]:
    """Return the option `rules` of `cloudvip.ha.oci_route_rule` by route table."""
    tables: dict[str, list[dict[str, Any]]] = {}
    for vip in _vips(model, state):
        object_id = _object_id(vip, private_ips)
        # A rule for the same destination that leads elsewhere is not the VIP's to remove.
        if state == "absent" and object_id is None:
            continue
        for route in vip["routes"]:
            rule = {
                "destination": route["destination"],
                "private_ip_id": object_id,
                "description": vip["display_name"],
                "state": state,
            }
            tables.setdefault(route["route_table_id"], []).append(rule)
    return tables


def oci_new_vnics(
    pods: Iterable[Mapping[str, Any]], cluster: str, vnics: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the option `attachments` of `cloudvip.ha.oci_vnic_attachment` for the PODs that a node has no VNIC for."""
    wanted: dict[tuple[str, str], dict[str, Any]] = {}
    for pod in pods:
        if (pod.get("state") or "present") != "present":
            continue
        address = ip_address(str(pod["address"]))
        for node, fact in vnics.items():
            if any(_model.Vnic.from_fact(vnic).network_of(address) for vnic in fact["vnics"]):
                continue
            attachment = _attachment(fact["instance_id"], pod["subnet_id"], cluster, pod["name"], node, "present")
            if address.version == 4:
                attachment["vip"] = str(address)
            wanted.setdefault((node, pod["subnet_id"]), attachment)
    return list(wanted.values())


def oci_new_addresses(
    pods: Iterable[Mapping[str, Any]], cluster: str, vnics: Mapping[str, Mapping[str, Any]]
) -> list[dict[str, Any]]:
    """Return the option `private_ips` of `cloudvip.ha.oci_private_ip` for the PODs that a node has no VNIC for."""
    lacking = {attachment["subnet_id"] for attachment in oci_new_vnics(pods, cluster, vnics)}
    return [
        {
            "address": pod["address"],
            "subnet_id": pod["subnet_id"],
            "vnic_ids": [
                vnic["vnic_id"]
                for fact in vnics.values()
                for vnic in fact["vnics"]
                if _model.Vnic.from_fact(vnic).network_of(ip_address(str(pod["address"])))
            ],
            "display_name": pod.get("display_name") or f"{cluster}-{pod['name']}",
            "tags": dict(pod.get("tags") or {}),
            "label": f"cloudvip_pods ({pod['name']}).address",
        }
        for pod in pods
        if pod["subnet_id"] in lacking and (pod.get("state") or "present") == "present"
    ]


def oci_old_vnics(model: Mapping[str, Any], vnics: Mapping[str, Mapping[str, Any]]) -> list[dict[str, Any]]:
    """Return the option `attachments` of `cloudvip.ha.oci_vnic_attachment` for the VNICs of absent PODs."""
    used = {b["vnic_id"] for vip in _vips(model, "present") for b in vip["bindings"].values()}
    unwanted = {
        (node, vip["subnet_id"]): _attachment(
            vnics[node]["instance_id"], vip["subnet_id"], model["cluster"], vip["name"], node, "absent"
        )
        for vip in _vips(model, "absent")
        if vip["subnet_id"] is not None
        for node, binding in vip["bindings"].items()
        if binding["vnic_id"] not in used
    }
    return list(unwanted.values())


def _attachment(instance_id: str, subnet_id: str, cluster: str, pod: str, node: str, state: str) -> dict[str, Any]:
    return {
        "instance_id": instance_id,
        "subnet_id": subnet_id,
        # PODs of one subnet share a VNIC, whichever of them came first.
        "display_name": f"{cluster}-{subnet_id[-8:]}",
        "state": state,
        "label": f"cloudvip_pods ({pod}) on {node}",
    }


def _vips(model: Mapping[str, Any], state: str | None = None) -> list[Mapping[str, Any]]:
    vips = [vip for group in model["groups"] for vip in group["vips"]] + list(model["absent"])
    return [vip for vip in vips if state in (None, vip["state"])]


def _object_id(vip: Mapping[str, Any], private_ips: Mapping[str, Mapping[str, Any]]) -> str | None:
    """The OCID of the VIP's private IP; None if there is none, none yet in check mode, or that of someone else."""
    found = private_ips.get(vip["address"]) or {}
    mine = [None, *(binding["vnic_id"] for binding in vip["bindings"].values())]
    return found.get("id") if found.get("vnic_id") in mine else None


def oci_forwarding_vnics(model: Mapping[str, Any]) -> list[str]:
    """Return the VNICs that must let foreign addresses pass: those of a router's VIPs, on every node."""
    if not model["router"]:
        return []
    return sorted({b["vnic_id"] for vip in _vips(model, "present") for b in vip["bindings"].values()})


def oci_statements(dynamic_group_id: str | None, compartment_id: str, features: Iterable[str] = ("move",)) -> list[str]:
    """Return the policy statements that let the nodes do what the features need, and nothing else."""
    wanted = set(features)
    if not wanted <= FEATURES.keys():
        unknown = sorted(wanted - FEATURES.keys())
        raise AnsibleFilterError(f"features = {unknown}: expected some of {sorted(FEATURES)}")
    # In check mode a group that is yet to be created has no OCID.
    return statements(dynamic_group_id or "(known when the dynamic group exists)", compartment_id, wanted)


def oci_features(model: Mapping[str, Any]) -> list[str]:
    """Return what the nodes need to be permitted for the VIPs of the model, for `oci_statements`."""
    versions = {ip_address(vip["address"]).version for vip in _vips(model)}
    # A policy has to have a statement, also while the cluster has no VIP.
    return ["move"] * (versions != {6}) + ["ipv6"] * (6 in versions)


def oci_peer_rules(engine: str) -> list[dict[str, Any]]:
    """Return the option `rules` of `cloudvip.ha.oci_network_security_group` for a cluster of this engine."""
    return peer_rules(engine)


def oci_placeholders(settings: Mapping[str, Any]) -> list[str]:
    """Return a message for each setting that still has a placeholder of the example inventory."""
    return [
        f"{name} = {value!r}: expected a value of your own in place of the example's placeholder"
        for name, value in settings.items()
        if isinstance(value, str) and _problems.PLACEHOLDER.search(value)
    ]


class FilterModule:
    """What Ansible looks for in a filter file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {
            "oci_private_ip_requests": oci_private_ip_requests,
            "oci_public_ip_requests": oci_public_ip_requests,
            "oci_route_rules": oci_route_rules,
            "oci_new_vnics": oci_new_vnics,
            "oci_new_addresses": oci_new_addresses,
            "oci_old_vnics": oci_old_vnics,
            "oci_forwarding_vnics": oci_forwarding_vnics,
            "oci_statements": oci_statements,
            "oci_features": oci_features,
            "oci_peer_rules": oci_peer_rules,
            "oci_placeholders": oci_placeholders,
        }
