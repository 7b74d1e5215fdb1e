# SPDX-License-Identifier: GPL-3.0-or-later
"""The instance metadata service, version 2. Who asks is told by the address that the connection comes from."""

from __future__ import annotations

import json
from collections.abc import Awaitable, Callable
from typing import Any

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route
from starlette.types import ASGIApp

from lab.cloud.faults import FaultMiddleware, Faults
from lab.cloud.http import CALLER, Events, caller_by_address
from lab.cloud.names import COMPARTMENT_ID, TENANCY_ID
from lab.cloud.pki import Pki
from lab.cloud.state import Cloud, Instance, Subnet
from lab.topology import REALM_DOMAIN, REALM_KEY, REGION, REGION_KEY

UNKNOWN = "unknown"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host")


def document(cloud: Cloud, pki: Pki, instance: Instance) -> dict[str, Any]:
    """Everything that the service tells this instance, as one tree: each path below /opc/v2 is a place in it."""
    domain = instance.availability_domain
    identity = pki.instances[instance.name]
    return {
        "instance": {
            "availabilityDomain": domain,
            "ociAdName": domain.split(":")[1].lower(),
            "faultDomain": "FAULT-DOMAIN-1",
            "compartmentId": COMPARTMENT_ID,
            "tenantId": TENANCY_ID,
            "displayName": instance.name,
            "hostname": instance.name,
            "id": instance.id,
            "image": "ocid1.image.none",
            "metadata": {},
            "region": REGION,
            "canonicalRegionName": REGION,
            "regionInfo": {
                "realmKey": REALM_KEY,
                "realmDomainComponent": REALM_DOMAIN,
                "regionKey": REGION_KEY,
                "regionIdentifier": REGION,
            },
            "shape": "VM.Standard.E4.Flex",
            "shapeConfig": {"ocpus": 8.0, "memoryInGBs": 2.0},
            "state": "Running",
            "freeformTags": {},
            "definedTags": {},
        },
        "vnics": [
            {
                "vnicId": v.id,
                "privateIp": str(v.address),
                "vlanTag": v.index + 1,
                "macAddr": v.mac,
                "virtualRouterIp": str(cloud.subnets[v.subnet_id].gateway),
                "subnetCidrBlock": str(cloud.subnets[v.subnet_id].cidr),
                "nicIndex": 0,
                **_ipv6(cloud.subnets[v.subnet_id]),
            }
            for v in cloud.vnics.values()
            if v.instance_id == instance.id
        ],
        "identity": {
            "cert.pem": identity.certificate_pem.decode(),
            "key.pem": identity.key_pem.decode(),
            "intermediate.pem": pki.intermediate_pem.decode(),
        },
    }


def _ipv6(subnet: Subnet) -> dict[str, str]:
    return {"ipv6SubnetCidrBlock": str(subnet.ipv6), "ipv6VirtualRouterIp": "fe80::1"} if subnet.ipv6 else {}


def _look_up(tree: Any, path: str) -> Any:
    """The place in the tree. Raises KeyError, IndexError or ValueError when there is none."""
    for step in path.strip("/").split("/"):
        if not isinstance(tree, dict | list):
            raise KeyError(step)
        tree = tree[int(step)] if isinstance(tree, list) else tree[step]
    return tree


def _not_found() -> Response:
    body = {"code": "NotFound", "message": "The requested resource does not exist."}
    return Response(json.dumps(body), 404, media_type="application/json")


def _endpoint(cloud: Cloud, pki: Pki) -> Callable[[Request], Awaitable[Response]]:
    async def endpoint(request: Request) -> Response:
        if request.headers.get("authorization") != "Bearer Oracle" or any(
            name in request.headers for name in _FORWARDED
        ):
            return _not_found()
        try:
            instance = cloud.instance_named(request.scope["state"][CALLER])
        except KeyError:
            return _not_found()
        # Outside of both: what is wrong with the document itself is no wrong path.
        tree = document(cloud, pki, instance)
        try:
            value = _look_up(tree, request.path_params["path"])
        except (KeyError, IndexError, ValueError):
            return _not_found()
        if isinstance(value, dict | list):
            return Response(json.dumps(value, indent=2), media_type="application/json")
        return Response(str(value), media_type="text/plain")

    return endpoint


async def _refused(_request: Request, _error: Exception) -> Response:
    return _not_found()


def service_of(_path: str) -> str:
    return "imds"


def create_imds(cloud: Cloud, pki: Pki, faults: Faults, identify: Callable[[str], str | None] | None = None) -> ASGIApp:
    """The metadata service for all instances. `identify` gives the name of the instance behind an address."""
    app = Starlette(
        routes=[Route("/opc/v2/{path:path}", _endpoint(cloud, pki), methods=["GET"])],
        exception_handlers={404: _refused, 405: _refused},
    )
    return Events(
        FaultMiddleware(app, faults, service_of),
        cloud.on_event,
        service_of,
        caller_by_address(identify or cloud.instance_at, UNKNOWN),
    )
