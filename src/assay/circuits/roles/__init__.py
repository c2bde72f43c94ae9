"""What heads do: roles that are decided by stated tests."""

from assay.circuits.roles.deciding import RoleTests
from assay.circuits.roles.method import head_roles

__all__ = ["RoleTests", "head_roles"]
