class ApiError(Exception):
    """A refusal that the API answers with one of its published error codes."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
