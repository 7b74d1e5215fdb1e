# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters of the role `oci`; their documentation stands beside this file."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils import _model
from ..module_utils._oci.policy import move_statements


def oci_private_ip_requests(model: Mapping[str, Any], state: str | None = None) -> list[dict[str, Any]]:
    """Return the option `private_ips` of `cloudvip.ha.oci_private_ip` for the VIPs of the model."""
    if state not in (None, "present", "absent"):
        raise AnsibleFilterError(f"state = {state!r}: expected present, absent or nothing")
    vips = [vip for group in model["groups"] for vip in group["vips"]] + list(model["absent"])
    return [
        {
            "address": vip["address"],
            "vnic_ids": [vip["bindings"][node]["vnic_id"] for node in model["nodes"]],
            "state": vip["state"],
            "display_name": vip["display_name"],
            "tags": dict(vip["tags"]),
            "label": f"cloudvip_vips ({vip['name']}).address",
        }
        for vip in vips
        if state in (None, vip["state"])
    ]


def oci_forwarding_vnics(model: Mapping[str, Any]) -> list[str]:
    """Return the VNICs that must let foreign addresses pass: those of a router's VIPs, on every node."""
    if not model["router"]:
        return []
    bindings = [vip["bindings"] for group in model["groups"] for vip in group["vips"]]
    return sorted({binding["vnic_id"] for by_node in bindings for binding in by_node.values()})


def oci_statements(dynamic_group_id: str | None, compartment_id: str) -> list[str]:
    """Return the policy statements that let the nodes move the VIPs, and nothing else."""
    # In check mode a group that is yet to be created has no OCID.
    return move_statements(dynamic_group_id or "(known when the dynamic group exists)", compartment_id)


def oci_placeholders(settings: Mapping[str, Any]) -> list[str]:
    """Return a message for each setting that still has a placeholder of the example inventory."""
    return [
        f"{name} = {value!r}: expected a value of your own in place of the example's placeholder"
        for name, value in settings.items()
        if isinstance(value, str) and _model.PLACEHOLDER.search(value)
    ]


class FilterModule:
    """What Ansible looks for in a filter file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {
            "oci_private_ip_requests": oci_private_ip_requests,
            "oci_forwarding_vnics": oci_forwarding_vnics,
            "oci_statements": oci_statements,
            "oci_placeholders": oci_placeholders,
        }
