"""What an alias moves, made where it is needed: each `absorb` comes right behind its alias, in any process.

Live, the owner of the anonymous user sends the history to the login's partition. Here the owner of the login folds the
anonymous user a second time, beside its own partitions and without storing it, so that no process waits for another and
the outcome doesn't depend on how many there are. Histories that were absorbed before they move on are followed, too.
"""

from collections.abc import Callable, Iterable

from streams.backfill.lines import Router
from streams.contracts import events as ev
from streams.contracts.partition import partition_of
from streams.decode import Decoder, Record
from streams.features.user import EMPTY, UserState, current, fold, pack_state
from streams.outbox import Outbox

EPOCH = 0
"""That of a log which belongs to no topic: no worker will ever name an absorb of its own the same."""


class Histories:
    """The users whose histories come, sooner or later, to a login that is `mine`."""

    def __init__(
        self,
        aliases: Iterable[tuple[str, str]],
        mine: Callable[[str], bool],
        *,
        router: Router,
        decoder: Decoder,
        partitions: int,
    ) -> None:
        """`aliases` are pairs of an anonymous user and its login."""
        self._followed = _sources(aliases, mine)
        self._states: dict[str, UserState] = {}
        self._router = router
        self._decoder = decoder
        self._partitions = partitions

    def follow(self, user_id: str | None, record: Record) -> Record | None:
        """Take a record in, whoever's it is; return the `absorb` to be folded right behind it, if there is one.

        The absorb has the offset of the last record of its partition: a log has no offset for it.
        """
        if user_id not in self._followed:
            return None
        try:
            _, event, at_ms = self._decoder.decode(record, trusted_key=record.key)
            before = current(self._states.get(user_id, EMPTY), at_ms)
            after = fold(before, event, at_ms)  # type: ignore[arg-type]  # a tick has no user
        except Exception:  # poison: the owner of its partition refuses it and says why
            return None
        if after is before:
            return None
        self._states[user_id] = after
        if not after.last_ms:
            del self._states[user_id]
        if not isinstance(event, ev.Alias) or not before.last_ms or event.login == user_id:
            return None
        absorb = self._absorb(record, event, before, at_ms)
        self.follow(event.login, absorb)
        return absorb

    def _absorb(self, alias_record: Record, alias: ev.Alias, history: UserState, at_ms: int) -> Record:
        outbox = Outbox(alias_record.partition, EPOCH, ("", ""))
        outbox.absorb(alias_record.offset, alias, pack_state(history), at_ms)
        (message,) = outbox.messages()
        partition = partition_of(message.key or b"", self._partitions)
        return Record(partition, self._router.last_offset(partition), message.key, message.value, at_ms)


def _sources(aliases: Iterable[tuple[str, str]], mine: Callable[[str], bool]) -> set[str]:
    """Return every anonymous user from whom a chain of aliases leads to a login that is `mine`."""
    anonymous: dict[str, list[str]] = {}
    for user_id, login in aliases:
        anonymous.setdefault(login, []).append(user_id)
    found: set[str] = set()
    waiting = [user_id for login, users in anonymous.items() if mine(login) for user_id in users]
    while waiting:
        user_id = waiting.pop()
        if user_id not in found:
            found.add(user_id)
            waiting += anonymous.get(user_id, ())
    return found
