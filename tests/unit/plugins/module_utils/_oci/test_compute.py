# SPDX-License-Identifier: GPL-3.0-or-later
"""What only a service can do to an attachment."""

from __future__ import annotations

import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import CloudError, OciError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.vnic_attachment import Request, VnicAttachment

from lab.cloud.names import COMPARTMENT_ID
from tests.unit.plugins.worlds import LabWorld


def begin(world: LabWorld) -> VnicAttachment:
    topology = world.topology
    place = topology.instance("vr1").id, topology.subnet("isv").id
    return world.cloud.compute.attach_vnic(Request(*place, "isv", None, (), False, "present", "isv"))


def test_an_attachment_that_fails_is_an_error(lab_world: LabWorld) -> None:
    begun = begin(lab_world)
    cloud = lab_world.lab.cloud
    lab_world.lab.call(cloud.settle, [cloud.attachments[begun.id]])
    lab_world.lab.do(cloud.detach_vnic(begun.id))

    with pytest.raises(OciError, match=f"{begun.id} failed: it became DETACHING"):
        lab_world.cloud.compute.attached(begun)


def test_what_was_detached_is_no_attachment_any_more(lab_world: LabWorld) -> None:
    compute = lab_world.cloud.compute
    vnic = compute.attached(begin(lab_world))

    compute.detach_vnic(vnic)

    listed = compute.vnic_attachments(COMPARTMENT_ID, vnic.instance_id)
    assert vnic.attachment_id not in [a.id for a in listed]
    assert len(listed) == 3


def test_a_detachment_is_repeated_until_the_service_takes_it(lab_world: LabWorld) -> None:
    compute = lab_world.cloud.compute
    vnic = compute.attached(begin(lab_world))
    lab_world.lab.fault(effect="status", status=409, code="IncorrectState", method="DELETE", count=2)

    compute.detach_vnic(vnic)

    assert vnic.id not in lab_world.lab.cloud.vnics


def test_a_detachment_that_is_not_allowed_is_an_error(lab_world: LabWorld) -> None:
    compute = lab_world.cloud.compute
    vnic = compute.attached(begin(lab_world))
    lab_world.lab.fault(effect="status", status=404, method="DELETE")

    with pytest.raises(CloudError, match="INSTANCE_DETACH_SECONDARY_VNIC"):
        compute.detach_vnic(vnic)
