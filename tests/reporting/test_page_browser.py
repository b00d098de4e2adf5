"""The page in a real browser: Debian's chromium, by playwright."""

import dataclasses
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

pytest.importorskip("jinja2", reason="pip install 'mgmp_jax[report]'")
pytest.importorskip("matplotlib", reason="pip install 'mgmp_jax[report]'")
pytest.importorskip("sklearn", reason="pip install 'mgmp_jax[report]'")
pytest.importorskip("playwright.sync_api", reason="pip install playwright")

from mgmp_jax.reporting import write_page
from tests.made_evidence import answer, make_evidence

CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser")
LONG = "a-model-with-a-name-that-has-no-end-" * 20
if CHROMIUM is None:
    pytest.skip("no browser: apt-get install chromium", allow_module_level=True)


@pytest.fixture(scope="module")
def address(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("page") / "page.html"
    found = answer("knowledge", "homologous", 0.97, m=19)
    others = ((LONG, 0.3), *found.others[1:])
    evidence = make_evidence(
        dataclasses.replace(found, others=others),
        answer("lineage", "inconclusive", 1.2, m=19),
        suspect=LONG,
        source="<img src=http://192.0.2.1/x onerror=alert(1)>",
    )
    write_page(path, dataclasses.replace(evidence, created="2026-01-02T03:04:05+00:00"))
    return path.as_uri()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    from playwright import sync_api

    arguments = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    with sync_api.sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=arguments)
        yield browser
        browser.close()


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [320, 360, 700, 1200, 1900])
def test_it_loads_alone_and_fits(browser: Any, address: str, width: int, scheme: str) -> None:
    context = browser.new_context(viewport={"width": width, "height": 800}, color_scheme=scheme)
    page, seen, said = context.new_page(), [], []
    page.on("request", lambda request: seen.append(request.url))
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.goto(address)
    assert (seen, said) == ([address], [])
    assert page.evaluate("document.documentElement.scrollWidth") <= width
    beyond = (
        "[...document.querySelectorAll('main *')].filter(e => "
        "e.getBoundingClientRect().right > innerWidth + 1).map(e => e.outerHTML.slice(0, 90))"
    )
    assert page.evaluate(beyond) == []
    paper = page.evaluate("getComputedStyle(document.documentElement).backgroundColor")
    assert paper == {"light": "rgb(252, 251, 248)", "dark": "rgb(21, 23, 26)"}[scheme]
    context.close()


def test_the_keyboard_goes_through_it_in_order(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    links = page.evaluate("[...document.querySelectorAll('a')].map(a => a.hash)")
    focused = []
    for _ in links:
        page.keyboard.press("Tab")
        focused.append(page.evaluate("document.activeElement.hash"))
    assert focused == links and focused[0] == "#verdict"
    page.goto(address)
    page.keyboard.press("Tab")
    skip = page.evaluate("document.activeElement.getBoundingClientRect().left")
    assert skip >= 0  # the skip link is seen while it has the focus
    page.keyboard.press("Enter")
    assert page.evaluate("document.activeElement.id") == "verdict"
    page.close()


def test_a_screen_reader_finds_names_for_everything(browser: Any, address: str) -> None:
    page = browser.new_page()
    page.goto(address)
    heard = page.locator("body").aria_snapshot()
    for landmark in ("banner", 'navigation "Contents"', "main", "contentinfo"):
        assert f"- {landmark}" in heard, landmark
    images = page.get_by_role("img")
    assert images.count() == 6
    for i in range(6):
        caption = page.locator("figcaption").nth(i).text_content()
        assert f'img "{caption}"' in heard
    for table in ("Numbers of question 1", "Numbers of question 2", "Models, dates and software"):
        assert f'table "{table}"' in heard
    page.close()


def test_it_prints_in_dark_ink_on_white(browser: Any, address: str, tmp_path: Path) -> None:
    context = browser.new_context(color_scheme="dark")
    page = context.new_page()
    page.goto(address)
    page.emulate_media(media="print", color_scheme="dark")
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(28, 27, 25)"
    assert not page.locator("nav").is_visible()
    page.pdf(path=tmp_path / "page.pdf", prefer_css_page_size=True)
    raw = (tmp_path / "page.pdf").read_bytes()
    assert 4 <= raw.count(b"/Type /Page\n") + raw.count(b"/Type /Page ") <= 14
    context.close()
