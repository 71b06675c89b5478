class Recipient:
    @staticmethod
    def from_str(value: str) -> Recipient: ...

class Identity:
    @staticmethod
    def from_buffer(buf: bytes) -> Identity: ...
