"""How badly the cloud behaves: what it does not promise, and so may do.

Lag is counted in calls and not in seconds: a test decides how many looks it takes, and no machine is too slow
for it. The number is per key pair, so a new key pair starts again.
"""

import threading
from collections import Counter
from typing import Annotated, Literal

from pydantic import BaseModel, ConfigDict, Field
from pydantic.alias_generators import to_camel

from .errors import ApiError
from .state import KeyPair

Calls = Annotated[int, Field(ge=0, le=1_000_000)]
ReturnedField = Literal["Description", "Tags", "AssociatedInstanceIds", "CreatedTime", "PublicKey"]
StoredField = Literal["Description", "Tags"]
Lagging = Literal["describe", "filter", "tags", "description", "modify", "delete", "deleted"]
ActionName = Literal[
    "CreateKeyPair", "DescribeKeyPairs", "DeleteKeyPairs", "ImportKeyPair", "ModifyKeyPairAttribute"
]


class _Setting(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", alias_generator=to_camel)


class Lag(_Setting):
    """For how many calls a key pair, or a part of it, is not up to date."""

    describe: Calls = 0
    """DescribeKeyPairs does not return a new key pair."""
    filter: Calls = 0
    """DescribeKeyPairs with filters does not return it; by id it does."""
    tags: Calls = 0
    """It is returned without tags, and filters by tag do not find it."""
    description: Calls = 0
    """It is returned with an empty description."""
    modify: Calls = 0
    """ModifyKeyPairAttribute says InvalidKeyPairId.NotFound."""
    delete: Calls = 0
    """DeleteKeyPairs says InvalidKeyPairId.NotFound."""
    deleted: Calls = 0
    """DescribeKeyPairs still returns a deleted key pair."""


class ConductSettings(_Setting):
    """Everything that can be switched on; the defaults are the documented behaviour."""

    lag: Lag = Lag()
    left_out: tuple[ReturnedField, ...] = ()
    """Fields that DescribeKeyPairs leaves out."""
    dropped: tuple[StoredField, ...] = ()
    """Fields that are accepted and forgotten."""
    denied: tuple[ActionName, ...] = ()
    """Actions that the role may not call."""
    separate_regions: bool = False
    """A key pair is visible only in its own region. Names are unique in the account all the same."""
    insufficient_balance: bool = False
    tag_values_per_key: int | None = Field(default=None, ge=0)
    """The older quota of tags, 1,000 in the documentation (651/13354)."""
    tags_in_all: int | None = Field(default=None, ge=0)
    """The newer quota of tags: keys times values in the account, a million in the documentation."""


class Conduct:
    """The conduct that is switched on, and how often each key pair has met it."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._settings = ConductSettings()
        self._met: Counter[tuple[str, Lagging]] = Counter()
        self._deleted: dict[str, KeyPair] = {}

    @property
    def settings(self) -> ConductSettings:
        """What is switched on."""
        return self._settings

    @settings.setter
    def settings(self, settings: ConductSettings) -> None:
        with self._lock:
            self._settings = settings
            self._met.clear()
            self._deleted.clear()

    def check_rights(self, action: str) -> None:
        """Raise ApiError if the role may not call `action`."""
        if action in self._settings.denied:
            raise ApiError(
                "UnauthorizedOperation", f"You are not authorized to perform operation (cvm:{action})."
            )

    def check_balance(self) -> None:
        """Raise ApiError if the account has no money."""
        if self._settings.insufficient_balance:
            raise ApiError("InvalidAccount.InsufficientBalance", "The account balance is insufficient.")

    def lags(self, key_id: str, what: Lagging) -> bool:
        """Count one call; return whether `key_id` still lags in this respect."""
        allowed: int = getattr(self._settings.lag, what)
        if not allowed:
            return False
        with self._lock:
            self._met[key_id, what] += 1
            return self._met[key_id, what] <= allowed

    def remember_deleted(self, key_pairs: list[KeyPair]) -> None:
        """Go on showing these for a while, if deletes lag."""
        if self._settings.lag.deleted:
            with self._lock:
                self._deleted.update({key_pair.key_id: key_pair for key_pair in key_pairs})

    def still_shown(self) -> list[KeyPair]:
        """Return the deleted key pairs that this call still sees."""
        with self._lock:
            deleted = list(self._deleted.values())
        return [key_pair for key_pair in deleted if self.lags(key_pair.key_id, "deleted")]

    def shown(self, key_pair: KeyPair, *, filtered: bool) -> KeyPair | None:
        """Return a key pair as DescribeKeyPairs knows it at this moment; None if not at all."""
        if self.lags(key_pair.key_id, "describe"):
            return None
        if filtered and self.lags(key_pair.key_id, "filter"):
            return None
        if self.lags(key_pair.key_id, "tags"):
            key_pair = key_pair.without_tags()
        if key_pair.description and self.lags(key_pair.key_id, "description"):
            key_pair = key_pair.described_as("")
        return key_pair

    def described(self, key_pair: KeyPair) -> dict[str, object]:
        """Return a key pair in the form of the API, without the fields that are left out."""
        return {
            name: value for name, value in key_pair.described().items() if name not in self._settings.left_out
        }

    def kept_tags(self, tags: dict[str, str]) -> dict[str, str]:
        """Return the tags that the cloud keeps."""
        return {} if "Tags" in self._settings.dropped else tags

    def kept_description(self, description: str | None) -> str | None:
        """Return the description that the cloud keeps; None if it keeps the old one."""
        return None if "Description" in self._settings.dropped else description

    def check_tag_quota(self, existing: set[tuple[str, str]], tags: dict[str, str]) -> None:
        """Raise ApiError if the account has no room for the new ones among `tags`."""
        together = existing | set(tags.items())
        per_key, in_all = self._settings.tag_values_per_key, self._settings.tags_in_all
        if per_key is not None:
            values = Counter(key for key, _ in together)
            if any(values[key] > per_key for key in tags):
                raise ApiError("LimitExceeded.TagValue", f"A tag key has at most {per_key} values.")
        if in_all is not None and len(together) > in_all and together != existing:
            raise ApiError("LimitExceeded.TagResourceQuota", f"The account has at most {in_all} tags.")
