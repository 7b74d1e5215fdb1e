# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The filters about VIPs, nodes and clusters as the user wrote them; their documentation stands beside this file."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from ansible.errors import AnsibleFilterError

from ..module_utils import _clusters, _model


def _build(
    vips: object,
    *,
    cluster: str,
    nodes: Sequence[str],
    vnics: Mapping[str, Mapping[str, Any] | None] | None = None,
    pods: object = (),
    engine: str = "pacemaker",
    cloud: str = "oci",
    profile: str = "balanced",
    fencing: str = "none",
    checks: object = (),
    virtual_router_ids: object = None,
    predicted: bool = False,
    settings: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    return _model.build(
        vips,
        _model.Settings(
            cluster=cluster,
            nodes=nodes,
            vnics=vnics,
            pods=pods,
            engine=engine,
            cloud=cloud,
            profile=profile,
            fencing=fencing,
            checks=checks,
            virtual_router_ids=virtual_router_ids,
            predicted=predicted,
            others=settings or {},
        ),
    )


def vip_model(vips: object, **inputs: Any) -> dict[str, Any]:
    """Check ``cloudvip_vips`` and the PODs and complete them from what the nodes know of their VNICs."""
    try:
        return _build(vips, **inputs)
    except _model.ModelError as error:
        raise AnsibleFilterError(str(error)) from error


def vip_problems(vips: object, **inputs: Any) -> list[str]:
    """Return what ``vip_model`` would refuse, one text for each problem."""
    try:
        _build(vips, **inputs)
    except _model.ModelError as error:
        return error.problems
    return []


def cluster_of(group_names: Sequence[str], groups: Mapping[str, Sequence[str]], root: str = "cloudvip") -> str:
    """Return the name of the cluster that a host belongs to."""
    try:
        return _model.cluster_of(group_names, groups, root)
    except _model.ModelError as error:
        raise AnsibleFilterError(str(error)) from error


def cluster_differences(
    nodes: Sequence[str], hostvars: Mapping[str, Mapping[str, Any]], variables: Iterable[str]
) -> list[str]:
    """Return where the nodes of a cluster have different values of variables that hold for the cluster."""
    return _clusters.differences(nodes, hostvars, variables)


def virtual_routers(
    vips: object,
    cluster: str,
    vnics: Mapping[str, Mapping[str, Any] | None],
    pods: object = (),
    virtual_router_ids: object = None,
) -> dict[str, Any]:
    """Name the virtual routers of a cluster and the VNICs between which they speak."""
    settings = _model.Settings(
        cluster=cluster, nodes=list(vnics), vnics=vnics, pods=pods, virtual_router_ids=virtual_router_ids
    )
    return _model.virtual_routers(vips, settings)


def virtual_router_conflicts(own: Mapping[str, Any], others: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return which virtual routers of a cluster have the id of one of another cluster in the same subnet."""
    return _clusters.conflicts(own, others)


class FilterModule:
    """What Ansible looks for in a filter file."""

    def filters(self) -> dict[str, Callable[..., Any]]:
        """Return the filters of this file by name."""
        return {
            "vip_model": vip_model,
            "vip_problems": vip_problems,
            "cluster_of": cluster_of,
            "cluster_differences": cluster_differences,
            "virtual_routers": virtual_routers,
            "virtual_router_conflicts": virtual_router_conflicts,
        }
