"""The to-do list's page in a real browser: add, complete, filter and delete, by mouse and by keyboard alone."""

from __future__ import annotations

import json
import shutil
import urllib.request
from collections.abc import Iterator
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import Browser, Page, expect, sync_playwright

pytestmark = pytest.mark.browser

CHROMIUM = shutil.which("chromium") or "/usr/bin/chromium"
QUIET = (
    "--no-sandbox",  # containers and CI run as root
    "--disable-gpu",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--no-first-run",
)


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    with sync_playwright() as playwright:
        launched = playwright.chromium.launch(executable_path=CHROMIUM, args=list(QUIET))
        yield launched
        launched.close()


@pytest.fixture
def page(browser: Browser, todolist_url: str) -> Iterator[Page]:
    """The page of an empty list. The test fails on any error that the page's script did not expect."""
    empty(todolist_url)
    opened = browser.new_page()
    errors: list[str] = []
    opened.on("pageerror", lambda error: errors.append(str(error)))
    opened.goto(f"{todolist_url}/")
    yield opened
    opened.close()
    assert errors == []


def empty(url: str) -> None:
    where = urlsplit(url)

    def call(method: str, path: str) -> bytes:
        address = f"http://127.0.0.1:{where.port}{path}"
        request = urllib.request.Request(address, method=method, headers={"Host": where.netloc})
        with urllib.request.urlopen(request, timeout=60) as response:
            body: bytes = response.read()
            return body

    for todo in json.loads(call("GET", "/api/todos?limit=100"))["items"]:
        call("DELETE", f"/api/todos/{todo['id']}")


def add(page: Page, title: str) -> None:
    page.get_by_label("What is to be done?").fill(title)
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_label(title, exact=True)).to_be_visible()


def test_a_todo_is_added_completed_and_deleted(page: Page) -> None:
    expect(page.get_by_text("Nothing here.")).to_be_visible()
    add(page, "Milk")
    expect(page.get_by_role("status")).to_have_text("1 todo")
    expect(page.get_by_label("What is to be done?")).to_have_value("")
    page.get_by_label("Milk", exact=True).check()
    expect(page.get_by_role("listitem")).to_have_class("done")
    page.reload()  # the server has it, not only the page
    expect(page.get_by_label("Milk", exact=True)).to_be_checked()
    page.get_by_label("Milk", exact=True).uncheck()
    expect(page.get_by_role("listitem")).not_to_have_class("done")
    page.get_by_role("button", name="Delete Milk").click()
    expect(page.get_by_role("listitem")).to_have_count(0)
    expect(page.get_by_text("Nothing here.")).to_be_visible()


def test_the_keyboard_is_enough(page: Page) -> None:
    title = page.get_by_label("What is to be done?")
    expect(title).to_be_focused()
    page.keyboard.type("Bread")
    page.keyboard.press("Enter")
    box = page.get_by_role("checkbox", name="Bread")
    expect(box).to_be_visible()
    box.focus()
    page.keyboard.press("Space")
    expect(page.get_by_role("listitem")).to_have_class("done")
    expect(box).to_be_focused()  # the redraw did not take the focus away
    page.keyboard.press("Tab")
    expect(page.get_by_role("button", name="Delete Bread")).to_be_focused()
    page.keyboard.press("Enter")
    expect(page.get_by_role("listitem")).to_have_count(0)
    expect(title).to_be_focused()


def test_filters_show_open_and_done(page: Page) -> None:
    add(page, "Milk")
    add(page, "Bread")
    page.get_by_label("Milk", exact=True).check()
    page.get_by_text("Open", exact=True).click()
    expect(page.get_by_role("listitem")).to_have_text(["BreadDelete"])
    page.get_by_text("Done", exact=True).click()
    expect(page.get_by_role("listitem")).to_have_text(["MilkDelete"])
    page.get_by_text("All", exact=True).click()
    expect(page.get_by_role("listitem")).to_have_count(2)


def test_a_title_is_text_not_markup(page: Page) -> None:
    add(page, "<img src=x onerror=alert(1)> & co")
    expect(page.get_by_role("listitem").locator("img")).to_have_count(0)


def test_a_failure_is_told_and_what_was_typed_is_kept(page: Page) -> None:
    page.route("**/api/todos", lambda route: route.fulfill(status=503, body="no"))
    page.get_by_label("What is to be done?").fill("Milk")
    page.get_by_role("button", name="Add").click()
    expect(page.get_by_role("alert")).to_contain_text("503")
    expect(page.get_by_label("What is to be done?")).to_have_value("Milk")


def test_the_page_says_who_keeps_the_todos(page: Page, todolist_url: str) -> None:
    expect(page.locator("#served")).to_contain_text("kept in: ")
