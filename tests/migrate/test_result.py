"""The file that is printed."""

from __future__ import annotations

import tomllib

from wsgiserve.migrate.result import Result, Row, Unfit, source


def test_options_are_in_order_with_their_remarks_and_comments_at_the_end():
    result = Result("x.ini")
    result.add(Row("b", "workers", "Remark"), 3, "more")
    result.add(Row("a", "app"), "shop")
    result.comment("c", source("f(\n  1)"), "not here")
    assert result.text() == (
        '# From x.ini, by wsgiserve migrate.\napp = "shop"\n# Remark; more.\nworkers = 3\n'
        "\n# Without an equivalent here:\n# c = f( 1): not here.\n"
    )


def test_a_list_grows_and_odd_text_stays_one_line():
    result = Result("x")
    for bind in ("127.0.0.1:1", 'unix:a"b\\c é'):
        result.add(Row("bind", "bind", "", lambda value: [value]), bind)
    result.comment("name", "a\nb = 5", "line\nbreaks")
    text = result.text()
    assert tomllib.loads(text) == {"bind": ["127.0.0.1:1", 'unix:a"b\\c é']}
    assert text.endswith('# name = "a\\nb = 5": line breaks.\n')


def test_a_value_that_our_option_refuses_is_a_comment():
    result = Result("x")
    result.add(Row("a", "threads"), 0)
    result.add(Row("b", "no_such_option", "why"), 1)

    def refuse(value):
        raise Unfit("because")

    result.add(Row("c", "threads", "", refuse), 2)
    result.add(Row("d", "threads", "", lambda value: None), 3)
    assert "threads" not in result
    assert result.text().splitlines()[-3:] == [
        "# a = 0: 0 is not a whole number of at least 1.",
        "# b = 1: why.",
        "# c = 2: because.",
    ]
