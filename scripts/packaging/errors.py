"""What stops a build."""


class PackagingError(Exception):
    """The build cannot go on; the text says why, for a person at a terminal."""
