# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# This module util is PRIVATE to the collection.
"""From a module's options to clients of the cloud. The options are documented in the fragment `cloudvip.ha.oci`."""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Iterator, Mapping
from functools import cached_property
from typing import Any, Protocol

from ansible.module_utils.basic import AnsibleModule, env_fallback, missing_required_lib

from .compute import Compute, OciCompute, VirtualNetwork
from .errors import OciError, PlanError
from .identity import Clients, Identity, OciIdentity
from .network import Network, OciNetwork
from .retry import Patience
from .routing import OciRouting, Routing
from .security import OciSecurity, Security

try:
    import oci
except ImportError:
    _IMPORT_ERROR: str | None = traceback.format_exc()
else:
    _IMPORT_ERROR = None

_CONNECT_AND_READ_SECONDS = (10, 30)


class Cloud(Protocol):
    """A tenancy, and what can be done in it."""

    @property
    def tenancy_id(self) -> str:
        """The OCID of the tenancy, which is also that of its root compartment."""
        ...

    @property
    def network(self) -> Network:
        """The region's virtual networks."""
        ...

    @property
    def compute(self) -> Compute:
        """The VNICs of the region's instances."""
        ...

    @property
    def routing(self) -> Routing:
        """The region's route tables."""
        ...

    @property
    def security(self) -> Security:
        """The region's network security groups."""
        ...

    @property
    def identity(self) -> Identity:
        """The tenancy's IAM."""
        ...


def argument_spec(**options: Any) -> dict[str, Any]:
    """The options of every OCI module, and those given."""
    return {
        "config_file_location": {
            "type": "path",
            "fallback": (env_fallback, ["OCI_CLI_CONFIG_FILE", "OCI_CONFIG_FILE"]),
        },
        "config_profile_name": {"type": "str", "fallback": (env_fallback, ["OCI_CLI_PROFILE", "OCI_CONFIG_PROFILE"])},
        "auth_type": {
            "type": "str",
            "choices": ["api_key", "instance_principal", "security_token"],
            "default": "api_key",
            "fallback": (env_fallback, ["OCI_CLI_AUTH", "OCI_ANSIBLE_AUTH_TYPE"]),
        },
        "region": {"type": "str", "fallback": (env_fallback, ["OCI_CLI_REGION", "OCI_REGION"])},
        "endpoint": {"type": "str", "fallback": (env_fallback, ["OCI_CLI_ENDPOINT"])},
        "identity_endpoint": {"type": "str"},
        "ca_bundle": {"type": "path", "fallback": (env_fallback, ["OCI_CLI_CERT_BUNDLE"])},
        "timeout": {"type": "int", "default": 120},
        **options,
    }


def connect(module: AnsibleModule) -> Cloud:
    """Make a session from the options of `argument_spec`. Ends the module when the SDK is missing; raises OciError."""
    if _IMPORT_ERROR is not None:
        module.fail_json(msg=missing_required_lib("oci"), exception=_IMPORT_ERROR)
    return Session(oci, module.params, Patience(module.params["timeout"]))


@contextlib.contextmanager
def reported(module: AnsibleModule) -> Iterator[None]:
    """End the module with the text of an OciError, and with the single problems when there are several."""
    try:
        yield
    except PlanError as error:
        module.fail_json(msg=str(error), problems=error.problems)
    except OciError as error:
        module.fail_json(msg=str(error))


class Session:
    """`Cloud` by the SDK. Its clients are made when they are asked for: each costs an import.

    :param oci: the SDK
    :param params: the options of `argument_spec`
    :raises OciError: when the configuration or the principal cannot be used
    """

    def __init__(self, oci: Any, params: Mapping[str, Any], patience: Patience) -> None:
        self._oci = oci
        self._params = params
        self._patience = patience
        if params["ca_bundle"]:
            if not os.path.isfile(params["ca_bundle"]):
                raise OciError(f"ca_bundle = {params['ca_bundle']!r}: expected a file with certificates")
            # The SDK's HTTP library prefers this variable to what a client is told, and federation knows only it.
            os.environ["REQUESTS_CA_BUNDLE"] = params["ca_bundle"]
        try:
            self._config, self._signer = self._principal()
        except Exception as error:  # the SDK raises a dozen unrelated types here, ValueError and OSError among them
            reason = f"{type(error).__name__}: {error}"
            raise OciError(f"Cannot authenticate with auth_type {params['auth_type']!r}: {reason}") from error

    def _principal(self) -> tuple[dict[str, Any], Any]:
        oci, params = self._oci, self._params
        region = {"region": params["region"]} if params["region"] else {}
        if params["auth_type"] == "instance_principal":
            signer = oci.auth.signers.InstancePrincipalsSecurityTokenSigner()
            return {"region": signer.region, "tenancy": signer.tenancy_id, **region}, signer
        given = {"file_location": params["config_file_location"], "profile_name": params["config_profile_name"]}
        config = {**oci.config.from_file(**{k: v for k, v in given.items() if v}), **region}
        if params["auth_type"] == "security_token":
            with open(os.path.expanduser(config["security_token_file"]), encoding="utf-8") as file:
                token = file.read().strip()
            key = oci.signer.load_private_key_from_file(config["key_file"], config.get("pass_phrase"))
            return config, oci.auth.signers.SecurityTokenSigner(token, key)
        oci.config.validate_config(config)
        return config, None

    def _client(self, factory: Any, endpoint: str | None, **config: str) -> Any:
        optional = {"signer": self._signer, "service_endpoint": endpoint}
        return factory(
            {**self._config, **config},
            retry_strategy=self._oci.retry.NoneRetryStrategy(),
            # The SDK's breaker is shared by every client of the process and would answer in place of the service.
            circuit_breaker_strategy=self._oci.circuit_breaker.NoCircuitBreakerStrategy(),
            timeout=_CONNECT_AND_READ_SECONDS,
            **{k: v for k, v in optional.items() if v},
        )

    @property
    def tenancy_id(self) -> str:
        """See Cloud."""
        return str(self._config["tenancy"])

    @cached_property
    def network(self) -> Network:
        """See Cloud."""
        client = self._client(self._oci.core.VirtualNetworkClient, self._params["endpoint"])
        return OciNetwork(self._oci, client, self._patience)

    @cached_property
    def compute(self) -> Compute:
        """See Cloud."""
        client = self._client(self._oci.core.ComputeClient, self._params["endpoint"])
        network = self._client(self._oci.core.VirtualNetworkClient, self._params["endpoint"])
        virtual_network = VirtualNetwork(self._oci, network, self._patience)
        return OciCompute(self._oci, client, virtual_network, self._patience)

    @cached_property
    def routing(self) -> Routing:
        """See Cloud."""
        client = self._client(self._oci.core.VirtualNetworkClient, self._params["endpoint"])
        return OciRouting(self._oci, client, self._patience)

    @cached_property
    def security(self) -> Security:
        """See Cloud."""
        client = self._client(self._oci.core.VirtualNetworkClient, self._params["endpoint"])
        return OciSecurity(self._oci, client, self._patience)

    @cached_property
    def identity(self) -> Identity:
        """See Cloud."""
        oci = self._oci
        endpoint = self._params["identity_endpoint"] or self._params["endpoint"]
        clients = Clients(
            None if endpoint else lambda region: self._client(oci.identity.IdentityClient, None, region=region),
            lambda url: self._client(oci.identity_domains.IdentityDomainsClient, url),
        )
        client = self._client(oci.identity.IdentityClient, endpoint)
        return OciIdentity(oci, client, self._patience, self.tenancy_id, clients)
