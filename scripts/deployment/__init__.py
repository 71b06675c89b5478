"""Deploys the function to SCF with nothing but the cloud's API: `scripts/deploy`."""
