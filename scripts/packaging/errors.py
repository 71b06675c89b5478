"""What stops a build."""


class PackagingError(Exception):
    """The build cannot continue. The text says why, for a person at a terminal."""
