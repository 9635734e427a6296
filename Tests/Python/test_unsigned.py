"""Whole numbers beyond 2^63, exact or refused; times that aggregates give, as times."""

import csv
import io
import json

import pytest
from conftest import Penstock, event
from test_http import request
from test_query_more import get, post, send

SEQUENCES = [2**63 - 1, 2**63, 2**63 + 1, 2**64 - 1]
VIEWS = """
views:
  by_sequence:
    key: [sequence]
    window: { tumble: 1d }
    aggregates: { n: count() }
  extremes:
    key: [source]
    window: { tumble: 1d }
    aggregates:
      least: min(sequence)
      most: max(sequence)
      first_one: first(sequence)
      last_one: last(sequence)
      different: count_distinct(sequence)
      last_time: last(time)
  beyond:
    where: sequence > 9223372036854775808u
    window: { tumble: 1d }
    aggregates: { n: count() }
"""


@pytest.fixture(scope="module")
def penstock(tmp_path_factory):
    service = Penstock(tmp_path_factory.mktemp("penstock"), views=VIEWS)
    service.after = send(
        service,
        [event("u/a", sequence, time=f"2024-05-01T12:00:00.{index}Z") for index, sequence in enumerate(SEQUENCES)]
        + [event("u/small", sequence, time=f"2024-05-01T12:00:0{sequence}Z") for sequence in (5, 6)],
    )
    yield service
    assert service.stop() == 0, "".join(service.lines)


def test_neighbours_are_groups_of_their_own_and_in_order(penstock):
    answer = get(penstock, "/v1/views/by_sequence", after=penstock.after)
    assert [(row["sequence"], row["n"]) for row in answer["rows"]] == [(number, 1) for number in [5, 6, *SEQUENCES]]
    assert {"name": "sequence", "type": "uint64"} in answer["columns"]
    _, _, body = request(penstock.ports["query"], "GET", "/v1/views/by_sequence?format=csv")
    assert [row["sequence"] for row in csv.DictReader(io.StringIO(body.decode()))] == [str(n) for n in [5, 6, *SEQUENCES]]


def test_pages_have_every_row_once(penstock):
    seen, cursor = [], {}
    while cursor is not None:
        page = get(penstock, "/v1/views/by_sequence", limit=1, after=penstock.after, **cursor)
        seen += [row["sequence"] for row in page["rows"]]
        cursor = {"cursor": page["next_cursor"]} if page["next_cursor"] else None
    assert seen == [5, 6, *SEQUENCES]


@pytest.mark.parametrize(
    "condition, expected",
    [
        ("sequence == 9223372036854775808u", [2**63]),
        ("sequence > 9223372036854775807", [2**63, 2**63 + 1, 2**64 - 1]),
        ("sequence == 9223372036854775808.0", [2**63]),
        ("sequence < 18446744073709551615u && sequence > 100", SEQUENCES[:3]),
        ("sequence in [5, 18446744073709551615u]", [5, 2**64 - 1]),
    ],
)
def test_where_over_rows_compares_exactly(penstock, condition, expected):
    answer = get(penstock, "/v1/views/by_sequence", where=condition, after=penstock.after)
    assert [row["sequence"] for row in answer["rows"]] == expected


def test_where_over_events_and_aggregates_are_exact(penstock):
    assert get(penstock, "/v1/views/beyond", after=penstock.after)["rows"][0]["n"] == 2
    big, small = get(penstock, "/v1/views/extremes", after=penstock.after, order="source")["rows"]
    assert [big[name] for name in ("least", "most", "first_one", "last_one", "different")] == [
        2**63 - 1, 2**64 - 1, 2**63 - 1, 2**64 - 1, 4,
    ]  # fmt: skip
    assert [small[name] for name in ("least", "most", "first_one", "last_one", "different")] == [5, 6, 5, 6, 2]
    merged = get(penstock, "/v1/views/extremes", after=penstock.after, group_by="")["rows"][0]
    assert (merged["least"], merged["most"], merged["different"]) == (5, 2**64 - 1, 6)


def test_sql_has_what_fits_and_refuses_the_rest(penstock):
    status, answer = post(penstock, "/v1/sql", {"sql": "SELECT most, typeof(most) AS type FROM extremes WHERE source = 'u/small'"})
    assert status == 200 and answer["rows"] == [{"most": 6, "type": "integer"}], answer
    for statement in (
        "SELECT sequence FROM by_sequence",
        "SELECT count(*) FROM by_sequence WHERE sequence > 9223372036854775807",
        "SELECT max(most) FROM extremes",
        "SELECT 1 FROM by_sequence a JOIN by_sequence b ON a.sequence = b.sequence",
        "SELECT sequence FROM by_sequence ORDER BY sequence",
    ):
        status, answer = post(penstock, "/v1/sql", {"sql": statement})
        assert status == 400 and answer["code"] == "invalid_sql", (statement, answer)
        assert "9223372036854775807" in answer["detail"], answer
    status, answer = post(penstock, "/v1/sql", {"sql": "SELECT sum(n) AS n FROM by_sequence"})
    assert status == 200 and answer["rows"] == [{"n": 6}], answer


def test_sql_compares_an_aggregates_times_as_times(penstock):
    for condition, expected in [
        ("last_time >= '2024-05-01 12:00:06'", ["u/small"]),
        ("last_time = '2024-05-01T14:00:06+02:00'", ["u/small"]),
        ("last_time < '2024-05-01T12:00:00.35Z'", ["u/a"]),
        ("last_time BETWEEN '2024-05-01' AND datetime('2024-05-01', '+1 day')", ["u/a", "u/small"]),
    ]:
        status, answer = post(penstock, "/v1/sql", {"sql": f"SELECT source FROM extremes WHERE {condition} ORDER BY source"})
        assert status == 200 and [row["source"] for row in answer["rows"]] == expected, (condition, answer)
    status, answer = post(penstock, "/v1/sql", {"sql": "SELECT last_time FROM extremes WHERE source = 'u/small'"})
    assert answer["columns"] == [{"name": "last_time", "type": "timestamp"}], json.dumps(answer)
    status, answer = post(penstock, "/v1/sql", {"sql": "SELECT 1 FROM extremes WHERE last_time > 5"})
    assert status == 400, answer
    status, answer = post(penstock, "/v1/sql", {"sql": "SELECT max(last_time) AS t FROM extremes HAVING max(last_time) > '2024-05-01 12:00:00'"})
    assert status == 400 and "COLLATE time" in answer["detail"], answer
