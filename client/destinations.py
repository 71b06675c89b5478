"""Where `keypair create` puts the private key: a file, ssh-agent, or an envelope for somebody else."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from client.errors import NotOpened, UsageProblem
from client.language import tr

if TYPE_CHECKING:
    from collections.abc import Mapping

    from client.pending import PendingRequest
    from client.private_key import PrivateKey
    from client.ssh_config import Host


@dataclass(frozen=True)
class Result:
    """What was done with the private key, and what to do next."""

    described: dict[str, str]
    """For --json."""
    lines: tuple[str, ...]
    next_command: str


@dataclass(frozen=True)
class File:
    """A file of mode 0600."""

    name: str
    path: Path
    key_format: str
    host: Host | None

    for_others = False
    keeps_answer = True

    def prepare(self) -> None:
        """Make ~/.ssh where it is missing; raise UsageProblem for another folder that is not there."""
        from client.folders import private_folder, ssh_folder

        if self.path.parent == ssh_folder():
            private_folder(self.path.parent)
        _require_folder(self.path)

    def require_free(self, request: PendingRequest | None) -> None:
        """Raise AlreadyExists for a file that is not this request's key."""
        from client.files import file_exists, remove_partial

        remove_partial(self.path)
        if self.path.exists() and not (request and request.answer):
            raise file_exists(self.path)

    def deliver(self, request: PendingRequest, answer: Mapping[str, Any]) -> Result:
        """Write the key. One that is there already was written before the process was killed."""
        from client.files import save_once
        from client.folders import shown

        key = _opened(request, answer)
        save_once(self.path, key.written(self.key_format, self.name))
        lines = (tr("Private key  {file}", file=shown(self.path)),)
        described = {"privateKeyFile": str(self.path)}
        if self.key_format == "ppk":
            return Result(described, lines, f"putty -i {shown(self.path)} root@HOST")
        if self.host:
            return Result(described, lines, _write_host(self.name, self.host, self.path))
        return Result(described, lines, f"ssh -i {shown(self.path)} root@HOST")


@dataclass(frozen=True)
class Agent:
    """ssh-agent: the private key is in no file."""

    name: str
    lifetime: int | None
    host: Host | None

    for_others = False
    keeps_answer = False
    """The identity is already on disk; storing the envelope too would store the key."""

    def prepare(self) -> None:
        """Raise LocalFailure where no agent answers."""
        from client.ssh_agent import require_agent

        require_agent()

    def require_free(self, request: PendingRequest | None) -> None:
        """Raise AlreadyExists for a public key that is not this request's; an agent holds any number."""
        from client.files import file_exists

        if self.host and request is None and self._public_key.exists():
            raise file_exists(self._public_key)

    def deliver(self, request: PendingRequest, answer: Mapping[str, Any]) -> Result:
        """Add the key to the agent; adding it twice is the same as once."""
        from client.files import save_once
        from client.folders import private_folder
        from client.ssh_agent import add_key

        key = _opened(request, answer)
        # In OpenSSH's format, the only one that carries the name that `ssh-add -l` shows.
        add_key(key.written("openssh", self.name), self.lifetime)
        lines = (tr("Private key  in ssh-agent, in no file"),)
        described = {"agent": "ssh-agent"}
        if not self.host:
            return Result(described, lines, "ssh root@HOST")
        # With the public half, ssh asks the agent for this key and for no other one.
        private_folder(self._public_key.parent)
        save_once(self._public_key, f"{key.public_key} {self.name}\n".encode())
        return Result(described, lines, _write_host(self.name, self.host, self._public_key))

    @property
    def _public_key(self) -> Path:
        from client.folders import ssh_folder

        return ssh_folder() / f"{self.name}.pub"


@dataclass(frozen=True)
class Envelope:
    """A file with the envelope, for whoever has the recipient's private half."""

    name: str
    save: Path | None

    for_others = True
    keeps_answer = True

    def prepare(self) -> None:
        """Raise UsageProblem for a folder that is not there."""
        if self.save:
            _require_folder(self.save.expanduser().absolute())

    def require_free(self, request: PendingRequest | None) -> None:
        """Raise AlreadyExists for a file that the envelope could be: the answer decides on the suffix."""
        from client.envelopes import SUFFIXES
        from client.files import file_exists

        if request and request.answer:
            return
        possible = [self.save] if self.save else [Path(f"{self.name}.{one}") for one in SUFFIXES.values()]
        for path in possible:
            if path.expanduser().exists():
                raise file_exists(path)

    def deliver(self, request: PendingRequest, answer: Mapping[str, Any]) -> Result:
        """Write the envelope."""
        from client.envelopes import SUFFIXES
        from client.files import save_once
        from client.folders import shown

        del request
        sealed = answer["sealedPrivateKey"]
        path = (self.save or Path(f"{self.name}.{SUFFIXES[sealed['format']]}")).expanduser().absolute()
        save_once(path, sealed["ciphertext"].encode())
        lines = (
            tr("Envelope     {file}", file=shown(path)),
            tr("Sealed to    {recipients}", recipients=", ".join(sealed["recipients"])),
        )
        # gpg finds its key by itself, and `keypair open` tries the usual SSH keys.
        found_by_itself = sealed["format"] == "openpgp" or any(
            recipient.startswith("SHA256:") and sealed["format"] == "age"
            for recipient in sealed["recipients"]
        )
        identity = "" if found_by_itself else " --identity KEY"
        return Result({"envelopeFile": str(path)}, lines, f"keypair open {shown(path)}{identity}")


def _require_folder(path: Path) -> None:
    from client.folders import shown

    if not path.parent.is_dir():
        raise UsageProblem(
            tr("There is no folder {folder}.", folder=shown(path.parent)),
            tr("Make it, or choose another one."),
        )


def _opened(request: PendingRequest, answer: Mapping[str, Any]) -> PrivateKey:
    """Open the envelope in memory and check the key against what was announced. Raises NotOpened."""
    from client.envelopes import age
    from client.private_key import checked_private_key

    sealed = answer["sealedPrivateKey"]["ciphertext"]
    public_key, fingerprint, name = answer["publicKey"], answer["fingerprint"], answer["keyName"]
    if name != request.name:
        raise NotOpened(
            tr(
                "The function made the key pair {found!r} instead of {wanted!r}.",
                found=name,
                wanted=request.name,
            ),
            tr("Do not use it. Tell the function's operator, with the request id."),
        )
    return checked_private_key(age.open_with(sealed, request.identity), public_key, fingerprint)


def _write_host(name: str, host: Host, identity: Path) -> str:
    """Write the ssh configuration; return the command that logs in."""
    from client.folders import shown, ssh_folder
    from client.ssh_config import SshConfig

    config = SshConfig(ssh_folder())
    config.add(name, host, identity)
    return f"ssh {name}" if config.included else f"ssh -F {shown(config.file)} {name}"
