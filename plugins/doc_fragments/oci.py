# SPDX-License-Identifier: GPL-3.0-or-later
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation that the OCI modules share."""

from __future__ import annotations


class ModuleDocFragment:
    """What Ansible looks for in a documentation fragment."""

    DOCUMENTATION = r"""
options:
  config_file_location:
    description:
      - The SDK's configuration file.
      - Without it, E(OCI_CLI_CONFIG_FILE), E(OCI_CONFIG_FILE) or C(~/.oci/config) is used.
    type: path
  config_profile_name:
    description:
      - The profile of the configuration file.
      - Without it, E(OCI_CLI_PROFILE), E(OCI_CONFIG_PROFILE) or C(DEFAULT) is used.
    type: str
  auth_type:
    description:
      - How to authenticate.
      - V(api_key) and V(security_token) read the configuration file; V(instance_principal) works on an instance only.
      - E(OCI_CLI_AUTH) or E(OCI_ANSIBLE_AUTH_TYPE) is used when it is not given.
    type: str
    choices: [api_key, instance_principal, security_token]
    default: api_key
  region:
    description:
      - The region, if not that of the profile or of the instance.
      - Without it, E(OCI_CLI_REGION) or E(OCI_REGION) is used.
      - Dynamic groups and policies can only be changed in the home region. They are changed there whatever the
        region, unless O(endpoint) or O(identity_endpoint) is set.
    type: str
  endpoint:
    description:
      - The base URL of the service, if not the region's public one.
      - Without it, E(OCI_CLI_ENDPOINT) is used.
    type: str
  identity_endpoint:
    description:
      - The base URL of the identity service, if it is neither O(endpoint) nor the region's public one.
      - To change dynamic groups and policies it must be that of the tenancy's home region.
    type: str
  ca_bundle:
    description:
      - A file with the certificates of the authorities to trust, in PEM format.
      - Without it, E(OCI_CLI_CERT_BUNDLE), then E(REQUESTS_CA_BUNDLE) is used, and the SDK's own list otherwise.
    type: path
  timeout:
    description:
      - For how many seconds to repeat a call that the service cannot answer now.
      - That is HTTP 429, 5xx, a conflict with a change in progress, or no answer at all.
    type: int
    default: 120
attributes:
  action_group:
    description: C(module_defaults) of C(group/cloudvip.ha.oci) hold for all modules of the group.
    support: full
    membership: [cloudvip.ha.oci]
requirements:
  - python >= 3.10
  - oci >= 2.167.1
"""
