"""The only place that knows the Tencent Cloud SDK."""
