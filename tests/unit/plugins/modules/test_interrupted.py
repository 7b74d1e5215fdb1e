# SPDX-License-Identifier: GPL-3.0-or-later
"""A run that breaks off at any call of the API is finished by the next run, and nothing is there twice."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import oci
import pytest
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.errors import CloudError
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.network_security_group import peer_rules
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.permissions import statements
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.retry import Patience
from ansible_collections.cloudvip.ha.plugins.module_utils._oci.session import Session
from ansible_collections.cloudvip.ha.plugins.modules import (
    oci_dynamic_group,
    oci_network_security_group,
    oci_policy,
    oci_private_ip,
    oci_public_ip,
    oci_route_rule,
    oci_vnic,
    oci_vnic_attachment,
)

from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from lab.cloud.state import Ipv6, PrivateIp
from lab.topology import ocid
from tests.unit.plugins.modules.conftest import Run
from tests.unit.plugins.worlds import LabWorld

T = TypeVar("T")
NODES = ("vr1", "vr2")
VIP, VIP6 = "10.0.0.9", "2001:db8:0:a02::9"
TABLE = ocid("routetable", "transit")
State = dict[str, Any]


class _Once(Patience):
    """Gives up at the first error; waits, without taking time, for what is under way."""

    def __init__(self) -> None:
        super().__init__(60, clock=lambda: 0.0, sleep=lambda _seconds: None)

    def call(self, function: Callable[[], T], worth_it: Callable[[CloudError], bool]) -> T:
        del worth_it
        return function()


class InterruptedRunError(Exception):
    """A module has failed."""


class Cluster:
    """What the role does for a cluster, module by module, without a second try."""

    def __init__(self, world: LabWorld, run: Run) -> None:
        self.world = world
        self._run = run
        self._session = Session(oci, world.params, _Once())
        self.vnics = [world.vnic(node, "ens5") for node in NODES]

    def do(self, module: Any, **options: Any) -> dict[str, Any]:
        answer = self._run(module.main, lambda _module: self._session, **options)
        if answer.get("failed"):
            raise InterruptedRunError(answer["msg"])
        return answer

    def make(self) -> None:
        topology = self.world.topology
        instances = [topology.instance(node).id for node in NODES]
        group = self.do(oci_dynamic_group, name="nodes", compartment_id=TENANCY_ID, instance_ids=instances)
        group_id = group["dynamic_group"]["id"]
        texts = statements(group_id, COMPARTMENT_ID, {"move", "ipv6"})
        self.do(oci_policy, name="move", compartment_id=COMPARTMENT_ID, statements=texts)
        found = self.do(oci_private_ip, private_ips=self._addresses("present"))["private_ips"]
        self.do(oci_network_security_group, **self._group("present"), rules=peer_rules("pacemaker"))
        public = {"display_name": "web", "private_ip_id": found[VIP]["id"]}
        self.do(oci_public_ip, compartment_id=COMPARTMENT_ID, public_ips=[public])
        self.do(oci_vnic, vnic_ids=self.vnics, skip_source_dest_check=True)
        self.do(
            oci_route_rule,
            route_table_id=TABLE,
            rules=[{"destination": "192.0.2.0/24", "private_ip_id": found[VIP]["id"]}],
        )
        self.do(oci_vnic_attachment, compartment_id=COMPARTMENT_ID, attachments=self._attachments("present"))

    def remove(self) -> None:
        self.do(oci_vnic_attachment, compartment_id=COMPARTMENT_ID, attachments=self._attachments("absent"))
        self.do(oci_route_rule, route_table_id=TABLE, rules=[{"destination": "192.0.2.0/24", "state": "absent"}])
        object_ids = [p.id for p in self.world.lab.cloud.private_ips.values() if str(p.address) == VIP]
        public = [{"display_name": "web", "private_ip_id": key, "state": "absent"} for key in object_ids]
        self.do(oci_public_ip, compartment_id=COMPARTMENT_ID, public_ips=public)
        self.do(oci_vnic, vnic_ids=self.vnics, skip_source_dest_check=False)
        self.do(oci_network_security_group, **self._group("absent"))
        self.do(oci_private_ip, private_ips=self._addresses("absent"))
        self.do(oci_policy, name="move", compartment_id=COMPARTMENT_ID, state="absent")
        self.do(oci_dynamic_group, name="nodes", compartment_id=TENANCY_ID, state="absent")

    def _addresses(self, state: str) -> list[dict[str, Any]]:
        return [{"address": a, "vnic_ids": self.vnics, "display_name": "web", "state": state} for a in (VIP, VIP6)]

    def _group(self, state: str) -> dict[str, Any]:
        subnet_id = self.world.topology.subnet("pod1").id
        return {
            "name": "nodes",
            "compartment_id": COMPARTMENT_ID,
            "subnet_id": subnet_id,
            "vnic_ids": self.vnics,
            "state": state,
        }

    def _attachments(self, state: str) -> list[dict[str, Any]]:
        topology = self.world.topology
        return [
            {
                "instance_id": topology.instance(node).id,
                "subnet_id": topology.subnet("pod3").id,
                "display_name": "pod3",
                "state": state,
            }
            for node in NODES
        ]

    def state(self) -> State:
        """What is there, without the OCIDs, which are new each time."""
        cloud = self.world.lab.cloud
        ips: list[PrivateIp | Ipv6] = [*cloud.private_ips.values(), *cloud.ipv6s.values()]
        group_ids = {g.id: g.name for g in cloud.iam.dynamic_groups.values()}
        addresses = {p.id: str(p.address) for p in ips}

        def named(text: str) -> str:
            for key, name in group_ids.items():
                text = text.replace(key, name)
            return text

        return {
            "groups": sorted((g.name, g.matching_rule) for g in cloud.iam.dynamic_groups.values()),
            "policies": sorted((p.name, [named(s) for s in p.statements]) for p in cloud.iam.policies.values()),
            "addresses": sorted(
                (str(p.address), p.lifetime, str(p.vnic_id)) for p in ips if str(p.address) in (VIP, VIP6)
            ),
            "security": sorted(
                (g.name, sorted((r.direction, r.protocol, str(r.ports)) for r in g.rules))
                for g in cloud.network_security_groups.values()
            ),
            "public": sorted((p.display_name, addresses.get(str(p.private_ip_id))) for p in cloud.public_ips.values()),
            "routes": sorted(
                (str(r.destination), addresses.get(r.network_entity_id)) for r in cloud.route_tables[TABLE].rules
            ),
            "vnics": sorted(
                (v.instance, v.subnet_id, v.skip_source_dest_check, len(v.nsg_ids)) for v in cloud.vnics.values()
            ),
        }


class Chance:
    """Strikes the request of that number, counted from 1."""

    def __init__(self) -> None:
        self.left = 0

    def __call__(self) -> float:
        self.left -= 1
        return 0.0 if self.left == 0 else 1.0


@pytest.fixture
def chance(lab_world: LabWorld, monkeypatch: pytest.MonkeyPatch) -> Chance:
    chance = Chance()
    monkeypatch.setattr(lab_world.lab.faults, "_chance", chance)
    return chance


@pytest.mark.parametrize("fault", [{"effect": "status", "status": 500}, {"effect": "apply_then_fail"}])
@pytest.mark.parametrize("what", ["make", "remove"])
def test_a_run_that_breaks_off_at_any_call_is_finished_by_the_next(
    lab_world: LabWorld, run: Run, chance: Chance, what: str, fault: dict[str, Any]
) -> None:
    def fresh() -> Cluster:
        lab_world.lab.call(lab_world.lab.faults.clear)
        lab_world.lab.do(lab_world.lab.cloud.reset())
        cluster = Cluster(lab_world, run)
        if what == "remove":
            cluster.make()
        lab_world.calls()
        return cluster

    whole = fresh()
    getattr(whole, what)()
    calls, expected = lab_world.calls(), whole.state()
    broken = 0
    for number, (method, _) in enumerate(calls, 1):
        # A lost answer to a question is no other failure than any.
        if method == "GET" and fault["effect"] == "apply_then_fail":
            continue
        cluster = fresh()
        chance.left = number
        lab_world.lab.fault(**fault, probability=0.5)
        try:
            getattr(cluster, what)()
        except InterruptedRunError:
            broken += 1
        lab_world.lab.call(lab_world.lab.faults.clear)

        getattr(cluster, what)()

        assert cluster.state() == expected, f"broken off at call {number}, {calls[number - 1]}"
    # A few calls are repeated even so, because they wait for something.
    assert broken > 10
