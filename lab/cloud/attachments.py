# SPDX-License-Identifier: GPL-3.0-or-later
"""VNIC attachments: secondary VNICs come and go while their instance is there."""

from __future__ import annotations

from typing import Any

from lab.cloud.call import Call, Operation, Reply, fields, filtered, in_compartment, page, single, typed
from lab.cloud.errors import invalid, missing
from lab.cloud.names import COMPARTMENT_ID
from lab.cloud.records import find
from lab.cloud.security import joined
from lab.cloud.state import VnicAttachment

_PATH = "/20160918/vnicAttachments"
_VNIC_FIELDS: dict[str, tuple[str, type]] = {
    "privateIp": ("address", str),
    "displayName": ("display_name", str),
    "hostnameLabel": ("hostname_label", str),
    "skipSourceDestCheck": ("skip_source_dest_check", bool),
    "freeformTags": ("freeform_tags", dict),
    "definedTags": ("defined_tags", dict),
}


def _attachment(attachment: VnicAttachment) -> dict[str, Any]:
    return {
        "id": attachment.id,
        "availabilityDomain": attachment.availability_domain,
        "compartmentId": COMPARTMENT_ID,
        "displayName": attachment.display_name,
        "instanceId": attachment.instance_id,
        "lifecycleState": attachment.lifecycle_state,
        "nicIndex": 0,
        "subnetId": attachment.subnet_id,
        "timeCreated": attachment.time_created,
        "vlanId": None,
        "vlanTag": attachment.nic_index + 1,
        # "Available after the attachment process is complete", says its documentation.
        "vnicId": None if attachment.lifecycle_state == "ATTACHING" else attachment.vnic_id,
    }


async def list_vnic_attachments(call: Call) -> Reply:
    here = in_compartment(call, "VNIC_ATTACHMENT_READ", "INSTANCE_INSPECT")
    found = filtered(
        call,
        call.cloud.attachments.values() if here else (),
        ("instanceId", lambda a: a.instance_id),
        ("vnicId", lambda a: a.vnic_id),
        ("availabilityDomain", lambda a: a.availability_domain),
    )
    call.cloud.settle(found)
    return page(call, [_attachment(a) for a in found])


async def get_vnic_attachment(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "VNIC_ATTACHMENT_READ")
    found = find(call.cloud.attachments, call.path["id"])
    call.cloud.settle([found])
    return single(found, _attachment(found))


async def attach_vnic(call: Call) -> Reply:
    """It is done when it is answered, but a client that does not poll for the outcome must not get away with it."""
    body = call.body("createVnicDetails", "instanceId", "displayName")
    given = typed(body, "createVnicDetails", dict) or {}
    details = call.known(given, *_VNIC_FIELDS, "subnetId", "nsgIds", "assignPublicIp")
    instance_id, subnet_id = typed(body, "instanceId", str), typed(details, "subnetId", str)
    nsg_ids = typed(details, "nsgIds", list)
    permissions = ["INSTANCE_ATTACH_SECONDARY_VNIC", "VNIC_ATTACH", "VNIC_CREATE", "SUBNET_ATTACH"]
    if nsg_ids:
        permissions += ["NETWORK_SECURITY_GROUP_UPDATE_MEMBERS", "VNIC_ASSOCIATE_NETWORK_SECURITY_GROUP"]
    call.require(COMPARTMENT_ID, *permissions)
    if not instance_id or not subnet_id:
        raise missing("The attributes instanceId and createVnicDetails.subnetId are needed.")
    if typed(details, "assignPublicIp", bool) is not False:
        # In a public subnet, as all of the lab's are, the service assigns one unless it is told not to.
        raise invalid("The attribute assignPublicIp must be false: the lab has no ephemeral public IPs.")
    attachment = await call.cloud.attach_vnic(
        instance_id,
        subnet_id,
        attachment_name=typed(body, "displayName", str),
        nsg_ids=joined({}, nsg_ids or (), call.cloud.network_security_groups),
        **fields(details, _VNIC_FIELDS),
    )
    return single(attachment, _attachment(attachment))


async def detach_vnic(call: Call) -> Reply:
    call.require(COMPARTMENT_ID, "INSTANCE_DETACH_SECONDARY_VNIC", "VNIC_DETACH", "VNIC_DELETE", "SUBNET_DETACH")
    await call.cloud.detach_vnic(call.path["id"], call.if_match)
    return Reply(None, 204)


OPERATIONS = (
    Operation("ListVnicAttachments", "GET", _PATH, list_vnic_attachments),
    Operation("GetVnicAttachment", "GET", f"{_PATH}/{{id}}", get_vnic_attachment),
    Operation("AttachVnic", "POST", _PATH, attach_vnic),
    Operation("DetachVnic", "DELETE", f"{_PATH}/{{id}}", detach_vnic),
)
