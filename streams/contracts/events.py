"""The `events` topic: what people do (key: `user_id`), one JSON object a message, told apart by `type`.

`request` travels here too, so it sees every earlier event of its user. `tick` and `absorb` are Streamrank's own.
Unknown fields are ignored. `event_id` makes a producer's repeats harmless; without `at_ms` the Kafka timestamp counts.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta, Struct, field

from streams.contracts.wire import MAX_ITEMS, AtMs, Context, Currency, Id, Price, Query, Text, decode

Kind = Literal["for_you", "similar", "search", "rerank", "bundle"]
Items = Annotated[list[Id], Meta(max_length=MAX_ITEMS)]


class _FromUser(Struct, frozen=True, kw_only=True, omit_defaults=True, tag_field="type", gc=False):
    """What every event of a user carries."""

    user_id: Id
    event_id: Id | None = None
    at_ms: AtMs | None = None
    session_id: Id | None = None
    request_id: Id | None = None
    position: Annotated[int, Meta(ge=0, le=10_000)] | None = None
    context: Context | None = None


class View(_FromUser, frozen=True, tag="view", gc=False):
    """An item's page was opened."""

    item_id: Id


class Click(_FromUser, frozen=True, tag="click", gc=False):
    """An item in a list was clicked."""

    item_id: Id


class Cart(_FromUser, frozen=True, tag="cart", gc=False):
    """An item was put into the cart."""

    item_id: Id


class Uncart(_FromUser, frozen=True, tag="uncart", gc=False):
    """An item was taken out of the cart."""

    item_id: Id


class Purchase(_FromUser, frozen=True, tag="purchase", gc=False):
    """One line of an order; `price` is for one unit."""

    item_id: Id
    quantity: Annotated[int, Meta(ge=1, le=10_000)] = 1
    price: Price | None = None
    currency: Currency | None = None
    order_id: Id | None = None


class Search(_FromUser, frozen=True, tag="search", gc=False):
    """A query was typed."""

    query: Query


class Impression(_FromUser, frozen=True, tag="impression", gc=False):
    """The items that were really seen, by position, of the slate that answered `request_id`."""

    request_id: Id
    items: Items


class Rating(_FromUser, frozen=True, tag="rating", gc=False):
    """An item was rated, from 0 to 5."""

    item_id: Id
    value: Annotated[float, Meta(ge=0, le=5)]


class Review(_FromUser, frozen=True, tag="review", gc=False):
    """An item was reviewed."""

    item_id: Id
    text: Text


class Forget(_FromUser, frozen=True, tag="forget", gc=False):
    """Erase everything about this user."""


class Alias(_FromUser, frozen=True, tag="alias", gc=False):
    """The anonymous `user_id` is the user `login`: its history moves there."""

    login: Id


class Filters(Struct, frozen=True, kw_only=True, omit_defaults=True, gc=False):
    """What the caller allows in the slate; `category` matches any element of an item's category path."""

    category: Annotated[list[Id], Meta(max_length=100)] = field(default_factory=list)
    brand: Annotated[list[Id], Meta(max_length=100)] = field(default_factory=list)
    in_stock: bool = True
    min_price: Price | None = None
    max_price: Price | None = None
    exclude: Items = field(default_factory=list)


class Request(_FromUser, frozen=True, tag="request", gc=False):
    """Ask for a slate of `k` items, answered on `recommendations` (or `reply_to`) until `deadline_ms`."""

    request_id: Id
    kind: Kind = "for_you"
    k: Annotated[int, Meta(ge=1, le=100)] = 10
    deadline_ms: AtMs | None = None
    item_id: Id | None = None
    items: Items | None = None
    query: Query | None = None
    filters: Filters = Filters()
    reply_to: Annotated[str, Meta(pattern="^[a-zA-Z0-9._-]{1,200}$")] | None = None

    def __post_init__(self) -> None:
        """Check that the fields that the kind needs are there.

        Raises:
            ValueError: naming the missing field; msgspec adds the path.
        """
        if self.kind == "similar" and self.item_id is None:
            raise ValueError("a request of kind `similar` needs `item_id`")
        if self.kind == "search" and self.query is None:
            raise ValueError("a request of kind `search` needs `query`")
        if self.kind == "rerank" and not self.items:
            raise ValueError("a request of kind `rerank` needs `items`")


class Absorb(_FromUser, frozen=True, tag="absorb", gc=False):
    """Streamrank's own: merge `state` (a packed user state) of `anonymous_id` into this user's."""

    anonymous_id: Id
    state: bytes


class Tick(Struct, frozen=True, kw_only=True, tag_field="type", tag="tick", gc=False):
    """Streamrank's own: the clock of a silent partition. Its message has no key."""

    partition: Annotated[int, Meta(ge=0)]
    at_ms: AtMs


Signal = View | Click | Cart | Uncart | Purchase | Rating | Review
UserEvent = (
    View | Click | Cart | Uncart | Purchase | Rating | Review
    | Search | Impression | Forget | Alias | Request | Absorb
)  # fmt: skip
Event = UserEvent | Tick

_DECODER: msgspec.json.Decoder[Event] = msgspec.json.Decoder(Event)


def decode_event(raw: bytes) -> Event:
    """Decode one message of the `events` topic.

    Raises:
        BadEvent: with the reason and the JSON path.
    """
    return decode(_DECODER, raw)
