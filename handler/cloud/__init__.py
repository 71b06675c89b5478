"""Clients of the Tencent Cloud API. Only this package uses the SDK."""
