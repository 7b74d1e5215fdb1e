# SPDX-License-Identifier: GPL-3.0-or-later
"""The cloud on loopback, in a thread, for tests of its clients.

with running(load("vrouters"), tmp_path) as lab:
    client = oci.core.VirtualNetworkClient(lab.sdk_config, service_endpoint=lab.url)
    os.environ["OCI_METADATA_BASE_URL"] = lab.metadata_url("vr1")
"""

from __future__ import annotations

import asyncio
import contextlib
import socket
import threading
from collections.abc import Callable, Coroutine, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from lab.cloud.api import create_api
from lab.cloud.auth import TOKEN_TTL, Authenticator
from lab.cloud.faults import Fault, Faults
from lab.cloud.http import server
from lab.cloud.imds import create_imds
from lab.cloud.names import TENANCY_ID, USER_ID
from lab.cloud.pki import Pki, ensure
from lab.cloud.state import Cloud, Effects, NullEffects
from lab.topology import REGION, Topology

_T = TypeVar("_T")


@dataclass
class Running:
    """A cloud that is being served.

    `url` is the base of every service, `events` what was asked of it (see lab.cloud.http.Events), `sdk_config` and
    `sdk_config_file` the administrator's. With tls, clients must trust `pki.ca_file` (REQUESTS_CA_BUNDLE).
    """

    url: str
    cloud: Cloud
    pki: Pki
    authenticator: Authenticator
    effects: Effects
    events: list[dict[str, Any]]
    sdk_config: dict[str, str]
    sdk_config_file: Path
    faults: Faults
    _metadata_urls: dict[str, str]
    _loop: asyncio.AbstractEventLoop

    @property
    def federation_endpoint(self) -> str:
        return f"{self.url}/v1/x509"

    def metadata_url(self, instance: str) -> str:
        """The metadata service as this instance sees it: …/opc/v2. Raises KeyError."""
        return self._metadata_urls[instance]

    def do(self, change: Coroutine[Any, Any, _T]) -> _T:
        """Run one of the cloud's coroutines from the test's thread and give its result."""
        return asyncio.run_coroutine_threadsafe(change, self._loop).result(timeout=10)

    def call(self, function: Callable[..., _T], *args: Any) -> _T:
        """Run a plain function in the cloud's thread, such as cloud.set_instance_state."""

        async def run() -> _T:
            return function(*args)

        return self.do(run())

    def fault(self, **fault: Any) -> Fault:
        """Add a fault, in the words of lab.cloud.faults."""
        return self.call(self.faults.add, Fault.from_json(fault))


def _always(name: str) -> Callable[[str], str]:
    return lambda _address: name


def _listener() -> socket.socket:
    listener = socket.create_server(("127.0.0.1", 0))
    listener.setblocking(False)
    return listener


@contextlib.contextmanager
def running(
    topology: Topology,
    base: Path,
    *,
    tls: bool = False,
    effects: Effects | None = None,
    token_ttl: float = TOKEN_TTL,
) -> Iterator[Running]:
    """Serve the topology's cloud on 127.0.0.1: the API on one port, the metadata service of each instance on its own.

    Keys and the SDK's configuration file go below `base`; to give several tests the same one saves making them again.
    """
    pki = ensure(base, topology)
    effects = effects or NullEffects()
    events: list[dict[str, Any]] = []
    loop = asyncio.new_event_loop()
    cloud = Cloud(topology, effects, events.append)
    authenticator = Authenticator(cloud, pki, token_ttl=token_ttl)
    faults = Faults()
    certificate = (pki.server_certificate_file, pki.server_key_file) if tls else (None, None)
    listeners = {name: _listener() for name in ("", *(i.name for i in topology.instances))}
    servers = {"": server(create_api(cloud, authenticator, faults), *certificate)}
    for instance in topology.instances:
        imds = create_imds(cloud, pki, faults, _always(instance.name))
        servers[instance.name] = server(imds)
    urls = {name: f"127.0.0.1:{listener.getsockname()[1]}" for name, listener in listeners.items()}
    lab = Running(
        url=f"{'https' if tls else 'http'}://{urls['']}",
        cloud=cloud,
        pki=pki,
        authenticator=authenticator,
        effects=effects,
        events=events,
        sdk_config={
            "user": USER_ID,
            "fingerprint": pki.user_fingerprint,
            "tenancy": TENANCY_ID,
            "region": REGION,
            "key_file": str(pki.sdk_config_file.parent / "api_key.pem"),
        },
        sdk_config_file=pki.sdk_config_file,
        faults=faults,
        _metadata_urls={i.name: f"http://{urls[i.name]}/opc/v2" for i in topology.instances},
        _loop=loop,
    )

    async def serve() -> None:
        await asyncio.gather(*(s.serve(sockets=[listeners[name]]) for name, s in servers.items()))

    thread = threading.Thread(target=loop.run_until_complete, args=(serve(),), name="lab-cloud")
    thread.start()
    try:
        # The sockets listen already: a client that comes before the servers are up only waits a little.
        yield lab
    finally:
        for each in servers.values():
            each.should_exit = True
        thread.join()
        loop.close()
