"""A server's cache of sessions, within limits for each tenant and in total."""

from collections.abc import Iterable, Iterator

from attrs import define, field

from specdec.split.limits import Limits
from specdec.split.record import Key, Record
from specdec.target.sessions import Sessions


@define(eq=False)
class Store:
    """Records of sessions by tenant and id, so that no tenant finds another's."""

    sessions: Sessions
    limits: Limits
    records: dict[Key, Record] = field(factory=dict, init=False)

    def __iter__(self) -> Iterator[Record]:
        return iter(self.records.values())

    def __len__(self) -> int:
        return len(self.records)

    def of(self, tenant: str) -> list[Record]:
        """List a tenant's sessions."""
        return [record for (owner, _), record in self.records.items() if owner == tenant]

    def waiting(self, tenant: str) -> int:
        """Count a tenant's waiting trees."""
        return sum(record.waiting is not None for record in self.of(tenant))

    def forget(self, keys: Iterable[Key]) -> None:
        """Drop sessions, and free their slots."""
        self.sessions.close(*[self.records.pop(key).session for key in list(keys)])

    def forget_idle(self, now: float) -> None:
        """Drop sessions that were idle for too long, and some of a tenant that holds too many tokens."""
        late = now - self.limits.idle
        self.forget([key for key, record in self.records.items() if record.used < late and not record.busy])
        for tenant in dict.fromkeys(tenant for tenant, _ in self.records):
            while len(own := self.of(tenant)) > 1 and sum(record.base for record in own) > self.limits.tenant_tokens:
                if not self._forget_one(tenant):
                    break

    def make_room(self, tenant: str, tokens: int) -> bool:
        """Make room for a session of so many tokens by dropping idle ones; say whether there is room."""
        while self._full(self.of(tenant), tokens) or len(self) >= self.limits.sessions:
            if not self._forget_one(tenant if self._full(self.of(tenant), tokens) else None):
                return False
        return True

    def _forget_one(self, tenant: str | None) -> bool:
        """Drop the session that was idle for longest, of a tenant or of all; say whether there was one."""
        idle = [key for key, one in self.records.items() if not one.busy and tenant in (None, key[0])]
        self.forget(sorted(idle, key=lambda key: self.records[key].used)[:1])
        return bool(idle)

    def _full(self, own: list[Record], tokens: int) -> bool:
        limits, kept = self.limits, sum(record.base for record in own)
        return len(own) >= limits.tenant_sessions or bool(own and kept + tokens > limits.tenant_tokens)
