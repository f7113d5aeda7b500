"""What is allowed: the tenant document, and the tenants known now.

Pure: documents come in as text and go out as bytes; whoever watches their source fills the registry.
"""

from slipstream.tenants.document import TenantError, from_json, parse_tenants, to_json
from slipstream.tenants.model import Retention, Tenant, TenantSpec
from slipstream.tenants.registry import Registry

__all__ = ["Registry", "Retention", "Tenant", "TenantError", "TenantSpec", "from_json", "parse_tenants", "to_json"]
