"""The answer to a content of the registry file that is not served."""


class RefusedError(Exception):
    """A content of the registry file that is not served; the message holds every reason."""
