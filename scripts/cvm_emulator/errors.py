class ApiError(Exception):
    """A refusal with one of the API's published error codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
