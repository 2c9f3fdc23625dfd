"""Files with options, and which of several sources counts. All options: ``tests/cli/test_settings.py``."""

from __future__ import annotations

import pytest

from wsgiserve.config.errors import ConfigError
from wsgiserve.config.sources import File, Origin, Setting, combine, find_file, nearest


@pytest.fixture
def find(tmp_path):
    """Return ``find(*path, **files)``: write the files, with _ for a dot in their names, and find one."""

    def find(*path, **files):
        for name, content in files.items():
            (tmp_path / name.replace("_", ".")).write_text(content)
        return find_file(str(tmp_path), *path)

    return find


def refusal(find, *path, **files):
    with pytest.raises(ConfigError) as caught:
        find(*path, **files)
    return str(caught.value)


def test_a_folder_without_a_file(find):
    assert find() == File()


def test_our_own_file_counts_before_the_project_s_and_that_is_told(find):
    table = "[tool.wsgiserve]\nthreads = 6"
    assert find(pyproject_toml=table) == File("pyproject.toml", {"threads": 6})
    found = find(wsgiserve_toml="threads = 5", pyproject_toml=table)
    assert found == File("wsgiserve.toml", {"threads": 5}, "pyproject.toml")
    _, notes = combine({}, found, {})
    assert notes == ["pyproject.toml has a table [tool.wsgiserve], which is ignored beside wsgiserve.toml"]


@pytest.mark.parametrize(
    "content", ["", "[tool.other]", "broken", "[project]\ndependencies = ['wsgiserve']", "tool = 'wsgiserve'"]
)
def test_a_project_s_file_without_a_table_for_us(find, content):
    assert find(pyproject_toml=content) == File()


def test_an_empty_file_of_ours(find):
    assert find(wsgiserve_toml="").values == {}


@pytest.mark.parametrize(
    ("content", "text"),
    [
        ("threads", "wsgiserve.toml: Expected '=' after a key in a key/value pair"),
        ("keepalive = 5", "wsgiserve.toml: keepalive is no option; did you mean keep_alive?"),
        ("keep-alive = 5", "wsgiserve.toml: keep-alive is no option; did you mean keep_alive?"),
        ("[files]", "wsgiserve.toml: files is no option; wsgiserve files reads no file, but variables"),
        ("zzz = 5", "wsgiserve.toml: zzz is no option"),
        ("port = 5", 'wsgiserve.toml: port is no option; write bind="HOST:PORT"'),
        ("threads = 1979-05-27", "wsgiserve.toml: threads: datetime.date(1979, 5, 27) is not a whole number"),
        ("[threads]", "wsgiserve.toml: threads: {} is not a whole number of at least 1"),
        ("threads = true", "wsgiserve.toml: threads: True is not a whole number of at least 1"),
        ("keep_alive = '-1s'", "wsgiserve.toml: keep_alive: -1.0 is not a number of at least 0"),
        ("keep_alive = nan", "wsgiserve.toml: keep_alive: nan is not a number of at least 0"),
        ("bind = []", "wsgiserve.toml: bind: name at least one HOST:PORT"),
        ("socket_mode = 0o660", "wsgiserve.toml: socket_mode: 432 is not a text; write it in quotes"),
    ],
)
def test_a_wrong_file_is_one_line(find, content, text):
    assert refusal(find, wsgiserve_toml=content).startswith(text)


def test_a_file_that_is_no_text(find, tmp_path):
    (tmp_path / "wsgiserve.toml").write_bytes(b"\xff\xfe")
    assert refusal(find).startswith("wsgiserve.toml: 'utf-8' codec can't decode byte")


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (f"threads = {'9' * 5000}", "wsgiserve.toml: Exceeds the limit"),
        (f"threads = {'[' * 20000}", "wsgiserve.toml: its values are nested too deeply"),
        (f"threads = {'{a=' * 20000}", "wsgiserve.toml: its values are nested too deeply"),
    ],
    ids=["digits", "lists", "tables"],
)
def test_a_file_that_is_too_much_for_the_parser(find, content, text):
    assert refusal(find, wsgiserve_toml=content).startswith(text)


@pytest.mark.parametrize("port", ["65536", "9" * 5000, "\u0661", "-1", "1 ", "8000\n"])
def test_a_platform_s_port_that_is_none(port):
    with pytest.raises(ConfigError, match="is not a port from 0 to 65535"):
        combine({}, File(), {"PORT": port})


def test_a_file_that_cannot_be_read(find, tmp_path):
    (tmp_path / "wsgiserve.toml").mkdir()
    assert refusal(find) == "wsgiserve.toml: cannot be read: Is a directory"


@pytest.mark.parametrize(
    ("path", "text"),
    [
        ("missing.toml", "--config: cannot read missing.toml: No such file or directory"),
        ("a.py", "--config: a.py is Python; wsgiserve migrate a.py prints it as TOML"),
        ("pyproject.toml", "--config: pyproject.toml has no table [tool.wsgiserve]"),
    ],
)  # fmt: skip
def test_a_file_that_was_named_and_is_none(find, path, text):
    assert refusal(find, path, pyproject_toml="[tool.other]") == text


def test_a_table_that_is_none(find):
    text = "pyproject.toml: tool.wsgiserve is not a table"
    assert refusal(find, pyproject_toml="[tool]\nwsgiserve = 5") == text


def test_the_order_of_strength():
    flag = Setting(1, Origin("command line", "--threads"))
    file = File("wsgiserve.toml", {"threads": 2, "workers": 3})
    settings, notes = combine({"threads": flag}, file, {"WEB_CONCURRENCY": "4", "PORT": "5"})
    assert settings["threads"] is flag
    assert settings["workers"] == Setting(3, Origin("file", "wsgiserve.toml"))
    assert settings["bind"] == Setting([":5"], Origin("platform", "PORT"))
    assert notes == [
        "PORT=5 is honoured: bind :5",
        "WEB_CONCURRENCY=4 is ignored: wsgiserve.toml has workers 3",
    ]


def test_the_nearest_name():
    assert nearest("keep-alive", ["keep_alive", "keep"]) == "; did you mean keep_alive?"
    assert nearest("THREAD", ["THREADS"], "WSGISERVE_") == "; did you mean WSGISERVE_THREADS?"
    assert nearest("zzz", ["threads"]) == ""


@pytest.mark.parametrize(
    "content",
    [
        "[tool.wsgiserve]\nthreads = 6",
        "[tool.wsgiserve] # ours\r\nthreads = 6",
        """  [tool . "wsgiserve" ]\nthreads = 6""",
        "[tool]\nwsgiserve.threads = 6",
        "[tool]\nwsgiserve = {threads = 6}",
        "tool.'wsgiserve'.threads = 6",
        "tool = {wsgiserve = {threads = 6}}",
    ],
)
def test_a_table_of_ours_is_found_however_it_is_written(find, content):
    assert find(pyproject_toml=content) == File("pyproject.toml", {"threads": 6})


def test_a_project_that_only_names_us_is_not_parsed(find):
    """Else each error in it would be one of a start."""
    wrong = 'dependencies = ["wsgiserve-http>=0.1"]\npackages = ["wsgiserve"]\nfiles = ["wsgiserve"]\n= ='
    assert find(pyproject_toml=wrong) == File()
