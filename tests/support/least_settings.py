"""The settings that the function cannot do without."""

from __future__ import annotations

SECRET = "A" * 42 + "8"
LEAST = {
    "KEYPAIR_REGION": "ap-guangzhou",
    "KEYPAIR_HOSTS": "keys.example.com",
    "KEYPAIR_MASTER_SECRET": SECRET,
}
