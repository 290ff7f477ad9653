"""The worker's cache of decoded user states, one a partition: what Redis holds, for the users seen lately."""

from collections.abc import Mapping

from streams.features.user import UserState


class UserCache:
    """Least recently used states of one partition, at most `limit`. Holds only what is committed."""

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._states: dict[str, UserState] = {}

    def __contains__(self, user_id: str) -> bool:
        """Tell whether the user's state is here."""
        return user_id in self._states

    def get(self, user_id: str) -> UserState | None:
        """Return the state of a user, if it is here."""
        return self._states.get(user_id)

    def update(self, states: Mapping[str, UserState]) -> None:
        """Take in states, as the most recently used; forget the oldest beyond the limit."""
        for user_id, state in states.items():
            self._states.pop(user_id, None)
            self._states[user_id] = state
        while len(self._states) > self._limit:
            del self._states[next(iter(self._states))]
