"""From ``module:name`` to an app, and in words why not."""

from __future__ import annotations

import importlib
import os
import subprocess
import sys
from pathlib import Path

import pytest

from wsgiserve.target import TargetError, UserCodeError, load_app

MODULES = {
    "shop": """
import sys
def application(environ, start_response):
    return []

def create_app():
    return application

def broken():
    raise RuntimeError("no database")

def with_argument(name):
    return application

class namespace:
    app = application

number = 5
made_by_c = dict.get
""",
    "only_app": "from shop import application as app\n",
    "asgi": """
class Made:
    async def __call__(self, scope, receive, send): ...
class Bound:
    def __call__(self, scope, receive, send): ...
async def one(scope, receive, send): ...
async def awaited(environ, start_response): ...
made, bound = Made(), Bound()
""",
    "neither": "from shop import create_app\n_hidden = create_app\n",
    "empty": "",
    "syntax": "def application(:\n",
    "needs": "import does_not_exist_anywhere\n",
    "raises": "def inner():\n    raise ValueError('their bug')\n\ninner()\n",
    "exits": "import sys\nsys.exit('goodbye')\n",
    "interrupted": "raise KeyboardInterrupt\n",
}


@pytest.fixture(autouse=True)
def _modules(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    for name, code in MODULES.items():
        (tmp_path / f"{name}.py").write_text(code)
    monkeypatch.syspath_prepend(tmp_path)
    yield
    for name in MODULES:
        sys.modules.pop(name, None)


@pytest.mark.parametrize(
    "target", ["shop:application", "shop", "only_app", "shop:create_app()", "shop:namespace.app"]
)
def test_an_app_is_found(target: str):
    assert load_app(target) is importlib.import_module("shop").application


def test_a_callable_without_a_signature_is_taken_for_an_app():
    assert load_app("shop:made_by_c") is dict.get


_ASGI = "is an ASGI app, and this is a WSGI server; serve it with an ASGI server, such as uvicorn"
NO_APP = [
    *((f"asgi:{name}", f"'asgi:{name}' {_ASGI}") for name in ("made", "bound", "one", "awaited")),
    ("shop:app", "the module 'shop' has no 'app'; did you mean 'application'?"),
    ("only_app:application", "the module 'only_app' has no 'application'; did you mean 'app'?"),
    ("shop/wsgi:app", "'shop/wsgi:app' is a path; name the module: shop.wsgi:app"),
    ("./shop/wsgi", "'./shop/wsgi' is a path; name the module: shop.wsgi:application"),
    ("missing:app", "no module named 'missing' here; looked in this folder and in sys.path"),
    ("shop.sub:app", "no module named 'shop.sub' here; looked in this folder and in sys.path"),
    ("missing.sub:app", "no module named 'missing' here; looked in this folder and in sys.path"),
    ("shop:missing", "the module 'shop' has no 'missing'"),
    ("shop:aplication", "the module 'shop' has no 'aplication'; did you mean 'application'?"),
    ("shop:application.nope", "'application' has no 'nope'"),
    ("shop:number", "'shop:number' is of type int and cannot be called; a WSGI app is a callable"),
    ("shop:number()", "'shop:number()': 'number' cannot be called, so it is no factory"),
    ("shop.py", "'shop.py' is a file; name the module: shop:application"),
    ("./in/shop.py:app", "'./in/shop.py:app' is a file; name the module: in.shop:app"),
    (":app", "':app' names no app; write it as module:name, such as app:application"),
    ("..shop:app", "'..shop:app' names no app; write it as module:name, such as app:application"),
    (
        "neither",
        "the module 'neither' has neither application nor app; "
        "name the app as neither:NAME, where NAME may be create_app",
    ),
    (
        "empty",
        "the module 'empty' has neither application nor app; "
        "name the app as empty:NAME, where NAME may be (nothing in it is callable)",
    ),
    (
        "shop:create_app",
        "'shop:create_app' cannot be called as app(environ, start_response), so it is no WSGI app; "
        "if it makes one, write shop:create_app()",
    ),
    (
        "shop:with_argument()",
        "'shop:with_argument()': TypeError: with_argument() missing 1 required positional argument: 'name'",
    ),
]


@pytest.mark.parametrize(("target", "line"), NO_APP, ids=[target for target, _ in NO_APP])
def test_a_name_that_leads_nowhere_is_one_line(target: str, line: str):
    with pytest.raises(TargetError) as caught:
        load_app(target)
    assert not isinstance(caught.value, UserCodeError)
    assert str(caught.value) == line


@pytest.mark.parametrize(
    ("target", "place", "error"),
    [
        ("needs", "needs.py", "ModuleNotFoundError: No module named 'does_not_exist_anywhere'"),
        ("raises", "raises.py", "ValueError: their bug"),
        ("syntax", "syntax.py", "SyntaxError: "),
        ("shop:broken()", "shop.py", "RuntimeError: no database"),
        ("exits", "exits.py", "SystemExit: goodbye"),
    ],
)
def test_an_error_in_their_code_is_their_traceback(target: str, place: str, error: str, tmp_path: Path):
    with pytest.raises(UserCodeError) as caught:
        load_app(target)
    lines = str(caught.value).splitlines()
    assert lines[-1].startswith(error)
    first = next(line for line in lines if line.startswith("  File "))
    assert first.startswith(f'  File "{tmp_path / place}"')
    assert "importlib" not in str(caught.value)


def test_ctrl_c_during_an_import_is_no_error_of_theirs():
    with pytest.raises(KeyboardInterrupt):
        load_app("interrupted")


def test_a_file_that_is_named_like_python_s_own_module_is_told(tmp_path, monkeypatch):
    (tmp_path / "queue.py").write_text("app = print\n")
    monkeypatch.chdir(tmp_path)
    assert "queue" in sys.modules
    with pytest.raises(
        TargetError, match=r"has no 'app': it is Python's own, not \./queue\.py; rename your file"
    ):
        load_app("queue:app")


# -- Django


def test_a_wrong_django_settings_module_is_one_line_that_names_it(tmp_path, monkeypatch):
    django_site(tmp_path, monkeypatch, "SECRET_KEY = 'x'")
    monkeypatch.setenv("DJANGO_SETTINGS_MODULE", "nosite.settings")
    said = loading_fails("site_of_ours.wsgi")
    assert said == (
        "DJANGO_SETTINGS_MODULE is 'nosite.settings', and there is no module named 'nosite'; looked in this "
        "folder and in sys.path"
    )


@pytest.mark.parametrize(
    ("settings", "said"),
    [
        (None, "DJANGO_SETTINGS_MODULE is 'site_of_ours.settings', and there is no module named"),
        ("import no_such_library", "ModuleNotFoundError: No module named 'no_such_library'"),
        ("SECRET_KEY = 'x'\nINSTALLED_APPS = ['nothing']", "ModuleNotFoundError: No module named 'nothing'"),
    ],
    ids=["no settings", "library", "app"],
)
def test_django_s_own_errors_are_shown(tmp_path, monkeypatch, settings, said):
    django_site(tmp_path, monkeypatch, settings)
    assert said in loading_fails("site_of_ours.wsgi")


def django_site(folder, monkeypatch, settings):
    """Write a site, as ``django-admin startproject`` does."""
    site = folder / "site_of_ours"
    site.mkdir()
    (site / "__init__.py").touch()
    (site / "wsgi.py").write_text(
        "import os\nfrom django.core.wsgi import get_wsgi_application\n"
        "os.environ.setdefault('DJANGO_SETTINGS_MODULE', 'site_of_ours.settings')\n"
        "application = get_wsgi_application()\n"
    )
    if settings is not None:
        (site / "settings.py").write_text(settings)
    monkeypatch.syspath_prepend(folder)


def loading_fails(target):
    """Load an app in another process, since Django has its settings once; return the error's text."""
    code = (
        f"import wsgiserve.target as t\ntry:\n    t.load_app({target!r})\n"
        "except t.TargetError as error:\n    print(error)"
    )
    environ = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    done = subprocess.run(
        [sys.executable, "-c", code], env=environ, capture_output=True, text=True, check=True
    )
    return done.stdout.rstrip("\n")
