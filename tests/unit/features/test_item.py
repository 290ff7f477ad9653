import numpy as np

from streams.features.item import LEVELS, NO_CODE, Catalogue, words
from tests.unit.building import T0, item


def test_an_upsert_fills_every_column() -> None:
    catalogue = Catalogue()
    i = catalogue.upsert(
        item("a", title="Red Shoe", brand="Acme", category=["x", "y"], price=10, in_stock=False, created_ms=T0)
    )
    assert (catalogue.ids[i], catalogue.titles[i], catalogue.categories[i]) == ("a", "Red Shoe", ("x", "y"))
    assert (catalogue.price[i], catalogue.created_ms[i]) == (10, T0)
    assert catalogue.log_price[i] == np.float32(np.log(10))
    assert (bool(catalogue.servable[i]), bool(catalogue.in_stock[i])) == (True, False)
    assert catalogue.brand[i] == catalogue.codes["Acme"]
    assert catalogue.category[i].tolist() == [catalogue.codes["x",], catalogue.codes["x", "y"], NO_CODE]


def test_a_new_version_replaces_all_of_the_old_one() -> None:
    catalogue = Catalogue()
    i = catalogue.upsert(item("a", title="Red Shoe", brand="Acme", category=["x", "y", "z"], price=10, created_ms=T0))
    assert catalogue.upsert(item("a", title="Blue Shoe", category=["x"])) == i
    assert len(catalogue) == 1
    assert catalogue.brand[i] == NO_CODE
    assert catalogue.category[i].tolist() == [catalogue.codes["x",], NO_CODE, NO_CODE]
    assert np.isnan([catalogue.price[i], catalogue.log_price[i]]).all()
    assert catalogue.created_ms[i] == 0
    assert {word for word, found in catalogue.postings.items() if i in found} == {"blue", "shoe"}


def test_the_same_name_in_two_places_has_two_codes() -> None:
    catalogue = Catalogue()
    catalogue.upsert(item("a", category=["women", "shoes"], brand="shoes"))
    catalogue.upsert(item("b", category=["men", "shoes"]))
    assert len(catalogue.codes_by_name["shoes"]) == 2
    assert catalogue.codes["shoes"] not in catalogue.codes_by_name["shoes"]
    assert np.count_nonzero(catalogue.code_digests) == len(catalogue.codes)


def test_deep_paths_have_codes_too() -> None:
    catalogue = Catalogue()
    flat = catalogue.upsert(item("flat", category=["1"]))
    deep = catalogue.upsert(item("deep", category=[str(n) for n in range(1, 7)]))
    assert catalogue.category.shape[1] == 6 > LEVELS
    assert catalogue.category[deep].all()
    assert catalogue.category[flat].tolist() == [catalogue.codes["1",], 0, 0, 0, 0, 0]
    assert catalogue.codes_by_name["6"] == {catalogue.category[deep, 5]}


def test_a_deleted_item_keeps_its_index_and_may_come_back() -> None:
    catalogue = Catalogue()
    i = catalogue.upsert(item("a"))
    catalogue.delete("a")
    assert not catalogue.servable[i]
    assert catalogue.index_of("a") == i
    assert not catalogue.servable[i]
    assert catalogue.upsert(item("a")) == i
    assert catalogue.servable[i]


def test_an_item_may_be_deleted_before_it_is_known() -> None:
    catalogue = Catalogue()
    catalogue.delete("a")
    assert not catalogue.servable[catalogue.index_of("a")]


def test_an_id_seen_in_events_alone_may_be_served() -> None:
    catalogue = Catalogue()
    i = catalogue.index_of("a")
    assert catalogue.servable[i]
    assert catalogue.in_stock[i]
    assert np.isnan(catalogue.price[i])


def test_what_is_not_listed_any_more_is_deleted_unless_only_events_named_it() -> None:
    catalogue = Catalogue()
    for name in "ab":
        catalogue.upsert(item(name))
    catalogue.index_of("seen")
    catalogue.keep({"b"})
    assert [bool(catalogue.servable[catalogue.index_of(name)]) for name in ("a", "b", "seen")] == [False, True, True]


def test_growing_keeps_everything() -> None:
    catalogue = Catalogue()
    for n in range(5_000):
        catalogue.upsert(item(f"i{n}", price=n + 1, category=[f"c{n % 7}"], brand=f"b{n % 5}", created_ms=T0 + n))
    assert catalogue.price[:5_000].tolist() == [n + 1 for n in range(5_000)]
    assert catalogue.created_ms[:5_000].tolist() == [T0 + n for n in range(5_000)]
    assert catalogue.servable[:5_000].all()
    assert len(set(catalogue.digest[:5_000].tolist())) == 5_000
    assert catalogue.indices_of(["i4999", "i0"]).tolist() == [4_999, 0]


def test_indices_of_unknown_ids_are_new() -> None:
    catalogue = Catalogue()
    assert catalogue.indices_of(["a", "b", "a"]).tolist() == [0, 1, 0]
    assert catalogue.indices_of([]).shape == (0,)
    assert len(catalogue) == 2


def test_the_version_tells_of_changes_of_the_catalogue() -> None:
    catalogue, versions = Catalogue(), []
    for change in (lambda: catalogue.upsert(item("a")), lambda: catalogue.delete("a")):
        change()
        versions.append(catalogue.version)
    assert len(set(versions)) == 2


def test_digests_are_those_of_every_process() -> None:
    catalogue = Catalogue()
    assert int(catalogue.digest[catalogue.index_of("sku-1")]) == 16_605_940_882_549_549_517


def test_words() -> None:
    assert words("Größe-42 Rotes  T_shirt, ROTES!") == {"größe", "42", "rotes", "t_shirt"}
    assert words(" - ") == set()
