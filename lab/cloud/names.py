# SPDX-License-Identifier: GPL-3.0-or-later
"""The fixed names of the lab's tenancy."""

from __future__ import annotations

from lab.topology import REGION, REGION_KEY, ocid

TENANCY_NAME = "lab"
TENANCY_ID = ocid("tenancy", TENANCY_NAME)
COMPARTMENT_NAME = "cloudvip"
COMPARTMENT_ID = ocid("compartment", COMPARTMENT_NAME)
USER_ID = ocid("user", "admin")
USER = "user"
"""How the administrator is called where a caller is named; instances go by their own name."""
NAMESPACE = "labns"
FURTHER_REGION = "lab-emu-2"
REGIONS = {REGION: REGION_KEY, FURTHER_REGION: "LA2"}
"""The tenancy is subscribed to these; each has a key. The further one has the identity service alone."""
DEFAULT_DOMAIN = "Default"
"""The identity domain of the classic identity API."""
FURTHER_DOMAIN = "OracleIdentityCloudService"
DOMAINS = (DEFAULT_DOMAIN, FURTHER_DOMAIN)


def availability_domain(short: str) -> str:
    """The API's name of a topology's availability domain, with the tenancy's prefix: `AD-1` → `CvIp:LAB-EMU-1-AD-1`."""
    return f"CvIp:{REGION.upper()}-{short}"
