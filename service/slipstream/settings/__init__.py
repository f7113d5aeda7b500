"""What an operator can set: one model, read once from the environment, every fault told at once.

Nothing here connects, listens or logs. Only `Settings.load` looks at the environment.
"""

from slipstream.settings.faults import SettingsError
from slipstream.settings.model import Settings
from slipstream.settings.reference import reference

__all__ = ["Settings", "SettingsError", "reference"]
