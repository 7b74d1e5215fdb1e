# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""Where the rules that let a cluster's nodes hear each other go between the rules of others; pure functions.

Ours are known by their comment. All others stay as they are, and where they are.
"""

import re
from ipaddress import ip_address
from typing import Any, Dict, Iterable, List, Mapping, NamedTuple, Optional, Sequence, Set, Tuple

MARK = "cloudvip"
INCLUDE = "/etc/cloudvip/firewall.nft"
# With a pattern nft does not mind that the file is gone; without it, it would load none of its rules.
INCLUDE_LINE = f'include "{INCLUDE}*";'
# Where Debian has it, and leaves it when nftables is removed.
CONFIGURATION = "/etc/nftables.conf"

SAVED = {
    "netfilter-persistent.service": {4: "/etc/iptables/rules.v4", 6: "/etc/iptables/rules.v6"},
    "iptables.service": {4: "/etc/sysconfig/iptables"},
    "ip6tables.service": {6: "/etc/sysconfig/ip6tables"},
}
NFTABLES = "nftables.service"
FIREWALLD = "firewalld.service"

_REFUSE = "refuse"
_NUMBERS = {"vrrp": "112"}


class Service(NamedTuple):
    """What is let in: a protocol, and of TCP and UDP its ports, such as ``5405-5412``."""

    protocol: str
    ports: Optional[str]


class Wanted(NamedTuple):
    """What is let in from which addresses, and whether everything is forwarded."""

    peers: Sequence[str] = ()
    services: Sequence[Service] = ()
    forward: bool = False


class Rule(NamedTuple):
    """A rule as far as its place among others matters.

    :param target: ``refuse``, the name of a chain, or something else
    :param mine: what tells one of ours from another of ours; None for those of others
    """

    target: Optional[str]
    conditional: bool
    mine: object = None


def refuses(rule: Rule, chains: Mapping[str, Sequence[Rule]], some: bool) -> bool:
    """Whether a rule refuses all packets that come to it, or with `some` whether it refuses any by itself."""
    if rule.target == _REFUSE:
        return some or not rule.conditional
    within = chains.get(rule.target or "", ())
    return (some or not rule.conditional) and any(refuses(other, chains, False) for other in within)


# systemd


def units(output: str) -> Dict[str, Dict[str, str]]:
    """Read what ``systemctl show`` says of some units; by their names, not their aliases."""
    found = [dict(line.partition("=")[::2] for line in block.splitlines()) for block in output.split("\n\n")]
    return {unit["Id"]: unit for unit in found if "Id" in unit}


def active(known: Mapping[str, Mapping[str, str]], unit: str) -> bool:
    """Whether a unit has been started."""
    return known.get(unit, {}).get("ActiveState") == "active"


def saved(known: Mapping[str, Mapping[str, str]]) -> List[Tuple[int, str]]:
    """The files, each with its version of IP, from which services that are active load iptables."""
    return [file for unit, files in SAVED.items() if active(known, unit) for file in files.items()]


def detect(known: Mapping[str, Mapping[str, str]], files: Sequence[object]) -> str:
    """What filters on a node.

    :param files: those of `saved` that exist
    """
    if active(known, FIREWALLD):
        return "firewalld"
    if files:
        return "iptables"
    if known.get(NFTABLES, {}).get("UnitFileState", "").startswith("enabled"):
        return "nftables"
    return "none"


def configuration(known: Mapping[str, Mapping[str, str]]) -> Optional[str]:
    """The file that nftables.service loads."""
    found = re.search(r" -f (\S+)", known.get(NFTABLES, {}).get("ExecStart", ""))
    return found.group(1) if found else None


# iptables


class Edit(NamedTuple):
    """What a table is to become, as text, and the lines for ``iptables-restore --noflush`` that make it so."""

    text: str
    commands: List[str]


_APPEND = re.compile(r"(?:\[\d+:\d+\]\s+)?-A\s+(\S+)\s*(.*?)\s*")
_WORD = re.compile(r'"((?:\\.|[^"\\])*)"|(\S+)')
_UNCONDITIONAL = {"-j", "-g", "-m", "--comment", "--reject-with"}


def iptables_rules(wanted: Wanted, version: int) -> Dict[str, List[str]]:
    """The rules of each chain, for a version of IP."""
    end = f"-m comment --comment {MARK} -j ACCEPT"
    peers = [address for address in map(ip_address, wanted.peers) if address.version == version]
    return {
        "INPUT": [
            f"-s {peer}/{peer.max_prefixlen} {_iptables_match(service)} {end}"
            for peer in peers
            for service in wanted.services
        ],
        "FORWARD": [end] if wanted.forward else [],
    }


def _iptables_match(service: Service) -> str:
    if service.protocol in _NUMBERS:
        return f"-p {_NUMBERS[service.protocol]}"
    return f"-p {service.protocol} -m {service.protocol} --dport {str(service.ports).replace('-', ':')}"


def _iptables_rule(specification: str) -> Rule:
    words = [quoted or word for quoted, word in _WORD.findall(specification)]
    pairs = [(words[index - 1], word) for index, word in enumerate(words) if index]
    options = {word for word in words if word.startswith("-")}
    matches = {value for option, value in pairs if option == "-m"}
    target = next((value for option, value in pairs if option in ("-j", "-g")), None)
    mine = None
    if ("--comment", MARK) in pairs:
        # Releases differ in the order of the words, and in how they call protocols that have a name.
        names = {number: name for name, number in _NUMBERS.items()}
        mine = sorted(names.get(word, word) if before == "-p" else word for before, word in [("", words[0]), *pairs])
    return Rule(
        target=_REFUSE if target in ("DROP", "REJECT") else target,
        conditional=bool(options - _UNCONDITIONAL or matches - {"comment"}),
        mine=mine,
    )


def edit_iptables(text: str, wanted: Mapping[str, Sequence[str]]) -> Edit:
    """Bring our rules into the table ``filter`` of what ``iptables-save`` says, or has written to a file.

    In INPUT they go above the first rule that refuses anything, as they are for peers only. In FORWARD, where ours
    is for everybody, above the first one that refuses everything: a rule against somebody keeps its force. A table
    that is not there refuses nothing.
    """
    commands: List[str] = []
    for chain, rules in wanted.items():
        text, more = _edit_chain(text, chain, rules)
        commands += more
    return Edit(text, commands)


def _edit_chain(text: str, chain: str, rules: Sequence[str]) -> Edit:
    lines = text.splitlines(keepends=True)
    every, end = _filter(lines)
    if end is None:
        return Edit(text, [])
    chains = {name: [rule for _, rule in numbered] for name, numbered in every.items()}
    own = [number for number, rule in every.get(chain, ()) if rule.mine]
    others = [(number, rule) for number, rule in every.get(chain, ()) if not rule.mine]
    limit = next((number for number, rule in others if refuses(rule, chains, chain == "INPUT")), len(lines))
    mine = [rule.mine for _, rule in every.get(chain, ()) if rule.mine]
    if mine == [_iptables_rule(rule).mine for rule in rules] and all(number < limit for number in own):
        return Edit(text, [])
    before = [number for number, _ in others if number < limit]
    place = limit if limit < len(lines) else before[-1] + 1 if before else end
    added = [f"-A {chain} {rule}\n" for rule in rules]
    kept = [(number, line) for number, line in enumerate(lines) if number not in own]
    return Edit(
        "".join([*(line for n, line in kept if n < place), *added, *(line for n, line in kept if n >= place)]),
        [
            *(re.sub(r".*?-A", "-D", lines[number].strip(), count=1) for number in own),
            *(f"-I {chain} {number} {rule}" for number, rule in enumerate(rules, len(before) + 1)),
        ],
    )


def _filter(lines: Sequence[str]) -> Tuple[Dict[str, List[Tuple[int, Rule]]], Optional[int]]:
    """The rules of the table by their chain, each with the number of its line, and the line that ends the table."""
    rules: Dict[str, List[Tuple[int, Rule]]] = {}
    inside = False
    for number, line in enumerate(lines):
        if line.startswith("*"):
            inside = line.strip() == "*filter"
        elif inside and line.strip() == "COMMIT":
            return rules, number
        found = inside and _APPEND.fullmatch(line)
        if found:
            rules.setdefault(found.group(1), []).append((number, _iptables_rule(found.group(2))))
    return rules, None


# nftables


class NftablesPlan(NamedTuple):
    """How our rules get into the chains that filter.

    :param commands: for nft, which carries out all of them or none
    :param boot: the file with which nftables.service loads the rules too; empty for none
    """

    commands: str
    boot: str


_COMMENT = re.compile(r"#.*")
_TABLE = re.compile(
    r"(?:^|;)\s*(?:(?:add|create)\s+)?table\s+(?:(ip6?|inet)\s+)?([\w./\\-]+)\s*(?=[{;]|$)", re.MULTILINE
)
_INCLUDED = re.compile(r"""(?:^|;)\s*include\s+["']([^"']+)["']""", re.MULTILINE)
_HARMLESS = {"counter", "log", "drop", "reject", "jump", "goto"}
_ADDRESS = {4: "ip saddr", 6: "ip6 saddr"}
_VERSIONS = {"ip": (4,), "ip6": (6,), "inet": (4, 6)}


def tables(text: str) -> Set[Tuple[str, str]]:
    """The tables that a file of nft's makes: family and name."""
    return {(family or "ip", name) for family, name in _TABLE.findall(_COMMENT.sub("", text))}


def included(text: str) -> List[str]:
    """The patterns of the files that a file of nft's includes."""
    return [pattern for pattern in _INCLUDED.findall(_COMMENT.sub("", text)) if not pattern.startswith(INCLUDE)]


def edit_configuration(text: str, present: bool) -> str:
    """The file that nftables.service loads, with our file included at its end or without it."""
    lines = [line for line in text.split("\n") if line != INCLUDE_LINE]
    if present:
        lines.insert(len(lines) if lines[-1] else len(lines) - 1, INCLUDE_LINE)
    return "\n".join(lines)


def _nftables_rules(wanted: Wanted, family: str, hook: str) -> Dict[str, str]:
    """The rules by the comment that tells them from each other."""
    if hook == "forward":
        return {MARK: "accept"} if wanted.forward else {}
    return {
        " ".join(filter(None, [MARK, str(peer), *service])): (
            f"{_ADDRESS[peer.version]} {peer} "
            + (
                f"meta l4proto {_NUMBERS[service.protocol]}"
                if service.protocol in _NUMBERS
                else f"{service.protocol} dport {service.ports}"
            )
            + " accept"
        )
        for peer in map(ip_address, wanted.peers)
        if peer.version in _VERSIONS[family]
        for service in wanted.services
    }


def _nftables_rule(rule: Mapping[str, Any]) -> Rule:
    kinds = {kind: value for expression in rule["expr"] for kind, value in expression.items()}
    jump = kinds.get("jump") or kinds.get("goto")
    comment = rule.get("comment", "")
    return Rule(
        target=_REFUSE if kinds.keys() & {"drop", "reject"} else jump["target"] if jump else None,
        conditional=bool(kinds.keys() - _HARMLESS),
        mine=comment if comment.split(" ")[0] == MARK else None,
    )


def plan_nftables(
    ruleset: Iterable[Mapping[str, Any]], configured: Iterable[Tuple[str, str]], wanted: Wanted
) -> NftablesPlan:
    """Bring our rules into every chain in which the tables of the configuration filter input or what is forwarded.

    What one chain accepts the next one may still refuse, so a chain of our own would be of no use. A file can name
    the beginning and the end of a chain only. In input they go to the beginning, as they are for peers only. The one
    for forwarding, which is for everybody, goes to the end, so that the rules before it keep their force; it goes
    to the beginning only where a rule refuses everything.

    :param ruleset: what ``nft --json list ruleset`` says
    """
    objects = list(ruleset)
    rules: Dict[Tuple[str, str], Dict[str, List[Tuple[Mapping[str, Any], Rule]]]] = {}
    for rule in (entry["rule"] for entry in objects if "rule" in entry):
        table = rules.setdefault((rule["family"], rule["table"]), {})
        table.setdefault(rule["chain"], []).append((rule, _nftables_rule(rule)))
    boot: List[str] = []
    added: List[str] = []
    kept: Set[Tuple[str, str, str]] = set()
    known = set(configured)
    for chain in (entry["chain"] for entry in objects if "chain" in entry):
        where = chain["family"], chain["table"]
        if where not in known or chain.get("type") != "filter" or chain.get("hook") not in ("input", "forward"):
            continue
        name = " ".join((*where, chain["name"]))
        new = _nftables_rules(wanted, chain["family"], chain["hook"])
        if not new:
            continue
        within = {other: [rule for _, rule in entries] for other, entries in rules.get(where, {}).items()}
        here = within.get(chain["name"], [])
        first = chain["hook"] == "input" or any(refuses(rule, within, False) for rule in here if not rule.mine)
        statements = [f'{name} {rule} comment "{comment}"' for comment, rule in new.items()]
        lines = [f"insert rule {s}" for s in reversed(statements)] if first else [f"add rule {s}" for s in statements]
        boot += [f"add table {' '.join(where)}", f"add chain {name}", *lines]
        place = here[: len(new)] if first else [rule for rule in here if rule.mine]
        if [rule.mine for rule in place] == list(new) and sum(bool(rule.mine) for rule in here) == len(new):
            kept.add((*where, chain["name"]))
        else:
            added += lines
    removed = [
        f"delete rule {' '.join(where)} {chain} handle {rule['handle']}"
        for where, entries in rules.items()
        for chain, numbered in entries.items()
        for rule, parsed in numbered
        if parsed.mine and (*where, chain) not in kept
    ]
    return NftablesPlan(
        commands="".join(f"{line}\n" for line in (*removed, *added)),
        boot="".join(f"{line}\n" for line in ("# Managed by Ansible", *boot)) if boot else "",
    )
