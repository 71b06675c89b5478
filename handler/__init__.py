"""The deployed function: issues CVM key pairs whose private half is sealed to the caller."""

import os

# pydantic would search all installed packages for plug-ins, which would see every value that it validates.
os.environ.setdefault("PYDANTIC_DISABLE_PLUGINS", "__all__")
