"""Which users the canary serves: by a hash, so each user always meets the same version, in every worker. Pure."""

from hashlib import blake2b


def is_served(user_id: str, version: int, share: float) -> bool:
    """Tell whether the canary `version` serves this user, at a share of the users in [0, 1].

    Whoever it serves at a share, it serves at any larger one. Another version is tried on other users.
    """
    drawn = blake2b(user_id.encode(), digest_size=8, salt=version.to_bytes(8, "big")).digest()
    return int.from_bytes(drawn, "big") < share * 2**64
