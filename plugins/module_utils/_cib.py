# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Turn a cluster's configuration (CIB) into the wanted one; pure functions on XML.

Only what a request names is touched. The status section, which belongs to the cluster, is never written.
This runs on the nodes: Python 3.6 and the standard library only.
"""

import copy
import xml.etree.ElementTree as ET
from typing import Any, Dict, Iterator, List, Mapping, NamedTuple, Optional, Set, Tuple

# What a cluster that has never run would say.
EMPTY = "<cib><configuration><crm_config/><nodes/><resources/><constraints/></configuration><status/></cib>"

PROPERTIES_ID = "cib-bootstrap-options"
DEFAULTS_ID = "rsc_defaults-options"

# Attributes by which a constraint refers to a resource.
REFERENCES = ("rsc", "with-rsc", "first", "then")


class CibError(Exception):
    """The configuration cannot be brought to the wanted state; the text says why."""


class Operation(NamedTuple):
    """An operation of a resource; name and interval identify it.

    :param attributes: of the operation itself, such as timeout
    :param params: what the agent is given when it runs this operation, such as OCF_CHECK_LEVEL
    """

    name: str
    interval: str
    attributes: Mapping[str, str]
    params: Mapping[str, str]


class Resource(NamedTuple):
    """A primitive resource.

    Its parameters and operations are exactly those given here. Of its meta attributes only those named here are set:
    the others are where the cluster's tools keep an operator's decisions, such as target-role.
    """

    id: str
    present: bool
    agent: Mapping[str, str]
    params: Mapping[str, str]
    meta: Mapping[str, str]
    operations: Tuple[Operation, ...]


class Location(NamedTuple):
    """A resource's preference for a node."""

    id: str
    present: bool
    resource: str
    node: str
    score: str


class Request(NamedTuple):
    """Everything that one transaction is to bring about."""

    properties: Mapping[str, str]
    resource_defaults: Mapping[str, str]
    resources: Tuple[Resource, ...]
    locations: Tuple[Location, ...]
    purge_agent: Mapping[str, str]

    @classmethod
    def from_params(cls, params: Mapping[str, Any]) -> "Request":
        """Read the parameters of the module ``pacemaker_cib``."""
        return cls(
            properties=_texts(params["properties"]),
            resource_defaults=_texts(params["resource_defaults"]),
            resources=tuple(_resource(entry) for entry in params["resources"]),
            locations=tuple(
                Location(
                    id=entry["id"],
                    present=entry["state"] == "present",
                    resource=entry["resource"] or "",
                    node=entry["node"] or "",
                    score=entry["score"] or "",
                )
                for entry in params["locations"]
            ),
            purge_agent=_agent("purge_agent", params["purge_agent"]) if params["purge_agent"] else {},
        )


def _resource(entry: Mapping[str, Any]) -> Resource:
    operations = [
        Operation(
            name=operation["name"],
            interval=operation["interval"],
            attributes=_texts(operation["attributes"]),
            params=_texts(operation["params"]),
        )
        for operation in entry["operations"]
    ]
    return Resource(
        id=entry["id"],
        present=entry["state"] == "present",
        agent=_agent(f"agent of resource '{entry['id']}'", entry["agent"]) if entry["state"] == "present" else {},
        params=_texts(entry["params"]),
        meta=_texts(entry["meta"]),
        operations=tuple(operations),
    )


def _agent(what: str, name: str) -> Dict[str, str]:
    parts = name.split(":")
    if len(parts) != 3 or not all(parts):
        raise CibError(f"{what} = '{name}': expected class:provider:type")
    return {"class": parts[0], "provider": parts[1], "type": parts[2]}


def _texts(values: Mapping[str, Any]) -> Dict[str, str]:
    return {name: _text(value) for name, value in values.items()}


def _text(value: object) -> str:
    # XML booleans are lower case; str(True) is not.
    return str(value).lower() if isinstance(value, bool) else str(value)


def parse(xml: str) -> ET.Element:
    """Parse a CIB.

    :raises CibError: when it is not one
    """
    try:
        root = ET.fromstring(xml)
    except ET.ParseError as error:
        raise CibError(f"the cluster's configuration is not XML: {error}") from error
    if root.tag != "cib" or root.find("configuration") is None:
        raise CibError(f"the cluster's configuration starts with <{root.tag}>: expected <cib> with a <configuration>")
    return root


def serialise(root: ET.Element) -> str:
    """Return the XML text of a CIB."""
    return ET.tostring(root, encoding="unicode")


def apply(current: ET.Element, request: Request) -> ET.Element:
    """Return the wanted configuration; equal text means that nothing is to be done."""
    root = copy.deepcopy(current)
    configuration = root.find("configuration")
    assert configuration is not None
    if request.properties:
        crm_config = _child(configuration, "crm_config")
        _set_pairs(_set(crm_config, "cluster_property_set", PROPERTIES_ID), request.properties)
    if request.resource_defaults:
        defaults = _child(configuration, "rsc_defaults")
        _set_pairs(_set(defaults, "meta_attributes", DEFAULTS_ID), request.resource_defaults)
    resources = _child(configuration, "resources")
    constraints = _child(configuration, "constraints")
    for resource in request.resources:
        if resource.present:
            _put_resource(resources, resource)
        else:
            _drop_resource(resources, constraints, resource.id)
    for resource_id in _purged(root, request):
        _drop_resource(resources, constraints, resource_id)
    for location in request.locations:
        _put_location(constraints, location)
    return root


def _child(parent: ET.Element, tag: str) -> ET.Element:
    found = parent.find(tag)
    return ET.SubElement(parent, tag) if found is None else found


def _set(parent: ET.Element, tag: str, new_id: str) -> ET.Element:
    """Return the set of name-value pairs that holds always, which is one without a rule."""
    for found in parent.findall(tag):
        if found.find("rule") is None:
            return found
    return ET.SubElement(parent, tag, {"id": new_id})


def _set_pairs(pairs: ET.Element, wanted: Mapping[str, str], exact: bool = False) -> None:
    existing = {pair.get("name"): pair for pair in pairs.findall("nvpair")}
    for name, value in wanted.items():
        pair = existing.get(name)
        if pair is None:
            pair = ET.SubElement(pairs, "nvpair", {"id": f"{pairs.get('id')}-{name}", "name": name})
        pair.set("value", value)
    if exact:
        for known, pair in existing.items():
            if known not in wanted:
                pairs.remove(pair)


def _put_pairs(parent: ET.Element, tag: str, wanted: Mapping[str, str], exact: bool) -> None:
    if wanted:
        _set_pairs(_set(parent, tag, f"{parent.get('id')}-{tag}"), wanted, exact)
    elif exact:
        for found in parent.findall(tag):
            parent.remove(found)


def _put_resource(resources: ET.Element, wanted: Resource) -> None:
    primitive = next((found for found in resources.iter("primitive") if found.get("id") == wanted.id), None)
    if primitive is None:
        primitive = ET.SubElement(resources, "primitive", {"id": wanted.id, **wanted.agent})
    existing = {name: value for name, value in primitive.items() if name != "id"}
    if existing != wanted.agent:
        raise CibError(f"resource '{wanted.id}' exists with {existing}: expected {dict(wanted.agent)}")
    _put_pairs(primitive, "instance_attributes", wanted.params, exact=True)
    _put_pairs(primitive, "meta_attributes", wanted.meta, exact=False)
    _put_operations(primitive, wanted.operations)


def _put_operations(primitive: ET.Element, wanted: Tuple[Operation, ...]) -> None:
    operations = _child(primitive, "operations")
    existing = {(op.get("name"), op.get("interval")): op for op in operations.findall("op")}
    for operation in wanted:
        op = existing.pop((operation.name, operation.interval), None)
        if op is None:
            op_id = f"{primitive.get('id')}-{operation.name}-interval-{operation.interval}"
            identity = {"id": op_id, "name": operation.name, "interval": operation.interval}
            op = ET.SubElement(operations, "op", identity)
        for name in set(op.keys()) - {"id", "name", "interval", *operation.attributes}:
            del op.attrib[name]
        op.attrib.update(operation.attributes)
        _put_pairs(op, "instance_attributes", operation.params, exact=True)
    for op in existing.values():
        operations.remove(op)


def _purged(root: ET.Element, request: Request) -> Set[str]:
    """Return the ids of the resources that have the agent to be purged, but are not requested."""
    found = {
        str(primitive.get("id"))
        for primitive in root.iterfind("configuration/resources//primitive")
        if request.purge_agent and request.purge_agent.items() <= primitive.attrib.items()
    }
    return found - {resource.id for resource in request.resources}


def _drop_resource(resources: ET.Element, constraints: ET.Element, resource_id: str) -> None:
    for parent in list(resources.iter()):
        for primitive in parent.findall("primitive"):
            if primitive.get("id") == resource_id:
                parent.remove(primitive)
    for constraint in list(constraints):
        if resource_id in (constraint.get(name) for name in REFERENCES):
            constraints.remove(constraint)


def _put_location(constraints: ET.Element, wanted: Location) -> None:
    found = next((entry for entry in constraints.findall("rsc_location") if entry.get("id") == wanted.id), None)
    if not wanted.present:
        if found is not None:
            constraints.remove(found)
        return
    attributes = {"id": wanted.id, "rsc": wanted.resource, "score": wanted.score, "node": wanted.node}
    if found is None:
        ET.SubElement(constraints, "rsc_location", attributes)
    elif dict(found.attrib) != attributes:
        found.clear()
        found.attrib.update(attributes)


def describe(root: ET.Element, request: Request) -> str:
    """Return those parts of a configuration that the request names, as text to be read and compared by people.

    Nothing else is shown: other resources' parameters may be secret.
    """
    return "".join(f"{line}\n" for line in _lines(root, request))


def _lines(root: ET.Element, request: Request) -> Iterator[str]:
    properties = root.find("configuration/crm_config/cluster_property_set")
    for name, value in sorted(_pairs(properties).items()):
        if name in request.properties:
            yield f"property {name}={value}"
    defaults = root.find("configuration/rsc_defaults/meta_attributes")
    for name, value in sorted(_pairs(defaults).items()):
        if name in request.resource_defaults:
            yield f"resource default {name}={value}"
    named = {resource.id for resource in request.resources} | _purged(root, request)
    for primitive in root.iterfind("configuration/resources//primitive"):
        if primitive.get("id") in named:
            yield from _resource_lines(primitive)
    locations = {location.id for location in request.locations}
    for constraint in root.iterfind("configuration/constraints/*"):
        if constraint.get("id") in locations or named & {constraint.get(name) for name in REFERENCES}:
            yield " ".join([constraint.tag, *(f"{name}={value}" for name, value in sorted(constraint.items()))])


def _resource_lines(primitive: ET.Element) -> Iterator[str]:
    agent = ":".join(str(primitive.get(name)) for name in ("class", "provider", "type"))
    yield f"resource {primitive.get('id')} {agent}"
    for word, tag in (("param", "instance_attributes"), ("meta", "meta_attributes")):
        for name, value in sorted(_pairs(primitive.find(tag)).items()):
            yield f"  {word} {name}={value}"
    for op in primitive.iterfind("operations/op"):
        attributes = {name: value for name, value in op.items() if name not in ("id", "name")}
        attributes.update(_pairs(op.find("instance_attributes")))
        yield " ".join([f"  op {op.get('name')}", *(f"{name}={value}" for name, value in sorted(attributes.items()))])


def _pairs(parent: Optional[ET.Element]) -> Dict[str, str]:
    if parent is None:
        return {}
    return {str(pair.get("name")): str(pair.get("value")) for pair in parent.findall("nvpair")}


def in_maintenance(root: ET.Element, nodes: List[str]) -> List[str]:
    """Return which of the nodes are in maintenance for no longer than their Pacemaker runs."""
    attribute = "transient_attributes/instance_attributes/nvpair[@name='maintenance'][@value='true']"
    found = [state.get("uname") for state in root.iterfind("status/node_state") if state.find(attribute) is not None]
    return [node for node in nodes if node in found]


def membership_problems(status: str, nodes: List[str]) -> List[str]:
    """Say what keeps the cluster from taking a configuration: no coordinator, no quorum, a node that is not online.

    :param status: output of ``crm_mon --one-shot --output-as=xml``
    """
    root = _parse_status(status)
    coordinator = root.find("summary/current_dc")
    if coordinator is None or coordinator.get("present") != "true":
        return ["the cluster has not elected a coordinator"]
    problems = []
    if coordinator.get("with_quorum") != "true":
        problems.append("the cluster has no quorum")
    online = {
        node.get("name")
        for node in root.iterfind("nodes/node")
        if node.get("online") == "true" and node.get("pending") != "true" and node.get("unclean") != "true"
    }
    problems += [f"node '{node}' is not online in the cluster" for node in nodes if node not in online]
    return problems


def resource_problems(status: str, request: Request) -> List[str]:
    """Say which resources are not as requested: each on exactly one node, or gone.

    :param status: output of ``crm_mon --one-shot --output-as=xml``
    """
    root = _parse_status(status)
    states = _states(root)
    present = [resource for resource in request.resources if resource.present]
    agent = ":".join(request.purge_agent.values())
    purged = {name for name, state in states.items() if state.get("resource_agent") == agent}
    gone = (purged | {resource.id for resource in request.resources}) - {resource.id for resource in present}
    problems = [
        f"resource '{name}' has been removed, but is still active"
        for name, state in states.items()
        if name in gone and state.get("active") == "true"
    ]
    for resource in present:
        state = states.get(resource.id)
        if state is None:
            problems.append(f"resource '{resource.id}' is not known to the cluster")
            continue
        good = {"role": "Started", "failed": "false", "blocked": "false", "nodes_running_on": "1"}
        seen = ", ".join(
            f"{name}={state.get(name)}" for name in (*good, "managed", "target_role") if state.get(name) is not None
        )
        if any(state.get(name) != value for name, value in good.items()):
            problems.append(f"resource '{resource.id}' is not started on exactly one node: {seen}")
    if problems:
        for failure in root.iterfind("failures/failure"):
            reason = failure.get("exitreason") or failure.get("exitstatus")
            problems.append(f"failed operation {failure.get('op_key')} on node '{failure.get('node')}': {reason}")
    return problems


def unwatched(status: str, request: Request) -> List[str]:
    """Say what the cluster has been told to leave alone, which is in order as long as somebody is at work on it.

    :param status: output of ``crm_mon --one-shot --output-as=xml``
    """
    root = _parse_status(status)
    if root.find("summary/cluster_options[@maintenance-mode='true']") is not None:
        return [
            "the cluster is in maintenance mode: nothing is watched or taken over. "
            "End that with: crm_attribute --name maintenance-mode --delete"
        ]
    states = _states(root)
    unmanaged = [r.id for r in request.resources if r.id in states and states[r.id].get("managed") == "false"]
    return [
        f"resource '{name}' is unmanaged: it is neither watched nor taken over. End that with: "
        f"crm_resource --resource {name} --meta --delete-parameter is-managed; or end the maintenance of its node"
        for name in unmanaged
    ]


def _states(root: ET.Element) -> Dict[str, ET.Element]:
    return {str(state.get("id")): state for state in root.iterfind("resources//resource")}


def _parse_status(status: str) -> ET.Element:
    try:
        return ET.fromstring(status)
    except ET.ParseError as error:
        raise CibError(f"the cluster's status is not XML: {error}") from error
