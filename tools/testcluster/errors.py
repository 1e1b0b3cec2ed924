"""What can go wrong with a cluster, as one line that says what to do."""


class ClusterError(Exception):
    """A cluster cannot be built, started or used; the message names the thing, what was seen, and the way out."""


class ApiError(ClusterError):
    """The API server refused a request."""

    def __init__(self, status: int, reason: str, message: str) -> None:
        super().__init__(message)
        self.status = status
        self.reason = reason
