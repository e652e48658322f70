"""The gates of the site: each planted fault turns the build red, or is found by a check."""

from __future__ import annotations

import mini_book
import nbformat
import pytest
import yaml
from browsing import Visitor

from tools import build_site, site_checks

# --- the build -----------------------------------------------------------------------------------


WITHOUT_SETUP = nbformat.v4.new_notebook(
    cells=[nbformat.v4.new_markdown_cell("# Alive\n\nA notebook without a setup cell.")]
)
FAULTS = {  # what is planted in a page -> what the build must complain about
    "[nowhere](nowhere.md)": "nowhere.md",
    "[no such word](words.md#stride)": "local id not found in doc 'words': 'stride'",
    "{cite:t}`nobody2099`": 'could not find bibtex key "nobody2099"',
    "{numref}`no-figure`": "no-figure",
    "$\\frac{1}{$": "This formula cannot be drawn",
    mini_book.QUIZ.replace("- **No.** That is one side.\n", ""): "3 choices but 2 answers",
    mini_book.QUIZ.replace("**Yes.**", "**No.**"): "none of its answers is right",
    mini_book.QUIZ.replace("**Yes.**", "Right:"): "each answer must begin with",
}


@pytest.fixture(scope="module")
def faulty_build(tmp_path_factory) -> tuple[int, str]:
    """A build with all faults, one to a page: (exit status, what was said)."""
    book = mini_book.write(tmp_path_factory.mktemp("faulty") / "book")
    toc = yaml.safe_load((book / "_toc.yml").read_text("utf-8"))
    for number, fault in enumerate(FAULTS):
        (book / f"fault{number}.md").write_text(f"# Fault {number}\n\n{fault}\n", "utf-8")
        toc["chapters"].append({"file": f"fault{number}"})
    (book / "_toc.yml").write_text(yaml.safe_dump(toc), "utf-8")
    nbformat.write(WITHOUT_SETUP, book / "chapters/live.ipynb")
    return build_site.run_jupyter_book(book, book)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("number", "complaint"),
    list(enumerate(FAULTS.values())),
    ids="page place citation figure formula quiz hopeless-quiz vague-quiz".split(),
)
def test_a_fault_in_the_text_turns_the_build_red(faulty_build, number: int, complaint: str) -> None:
    status, said = faulty_build
    assert status != 0
    lines = [line for line in said.splitlines() if complaint in line and "WARNING" in line]
    assert any(f"fault{number}" in line for line in lines), said


@pytest.mark.slow
def test_a_notebook_that_cannot_be_taken_home_turns_the_build_red(faulty_build) -> None:
    status, said = faulty_build
    assert status != 0
    assert "WARNING: The notebooks to download could not be written" in said
    assert "live.ipynb has 0 setup cells" in said


@pytest.mark.slow
def test_a_single_fault_is_enough(book_copy) -> None:
    status, said, _ = book_copy({"words.md": f"{mini_book.WORDS}\n[nowhere](nowhere.md)\n"})
    assert status != 0
    assert said.count("WARNING") == 1


@pytest.mark.slow
def test_with_an_address_there_are_links_to_colab_and_to_the_repository(book_copy) -> None:
    config = yaml.safe_load((mini_book.ROOT / "_config.yml").read_text("utf-8"))
    config["sphinx"]["config"]["book_repository"] = "https://github.com/someone/book"
    status, said, site = book_copy({"_config.yml": yaml.safe_dump(config)})
    assert status == 0, said
    page = site_checks.parse(site / "chapters/live.html")
    links = {link["href"] for link in page.find_all("a", href=True)}
    colab = "https://colab.research.google.com/github/someone/book/blob/gh-pages/"
    assert f"{colab}notebooks/live.ipynb" in links
    assert "https://github.com/someone/book" in links
    assert any(link.startswith("https://github.com/someone/book/issues") for link in links)
    assert site_checks.foreign_resources(site) == []  # links, not requests


@pytest.mark.slow
def test_a_strange_address_turns_the_build_red(book_copy) -> None:
    config = yaml.safe_load((mini_book.ROOT / "_config.yml").read_text("utf-8"))
    config["sphinx"]["config"]["book_repository"] = "ftp://somewhere"
    status, said, _ = book_copy({"_config.yml": yaml.safe_dump(config)})
    assert status != 0
    assert "book_repository in _config.yml is 'ftp://somewhere'" in said


# --- the checks ----------------------------------------------------------------------------------

PAGE = '<html><head></head><body><h2 id="here">x</h2>{}</body></html>'


@pytest.fixture
def page(tmp_path):
    """Writes a site of one page with something in it."""

    def write(body: str):
        (tmp_path / "index.html").write_text(PAGE.format(body), "utf-8")
        (tmp_path / "there.png").write_bytes(mini_book.DOT)
        site_checks.parse.cache_clear()
        return tmp_path

    return write


@pytest.mark.parametrize(
    "body",
    [
        '<script src="https://cdn.example/x.js"></script>',
        '<script src="//cdn.example/x.js"></script>',
        '<link rel="stylesheet" href="https://cdn.example/x.css">',
        '<img alt="x" src="https://example/x.png">',
        '<img alt="x" src="a.png" srcset="there.png 1x, https://example/x.png 2x">',
        '<iframe src="https://example/"></iframe>',
        '<script type="module">import x from "https://cdn.example/x.js";</script>',
        '<script>import("https://cdn.example/x.js")</script>',
        "<style>@import 'https://cdn.example/x.css';</style>",
        "<style>p { background: url(https://example/x.png) }</style>",
    ],
)
def test_what_a_page_asks_of_another_host_is_found(page, body: str) -> None:
    assert len(site_checks.foreign_resources(page(body))) == 1


@pytest.mark.parametrize(
    "body",
    [
        '<a href="https://example/">a link waits for a click</a>',
        '<img alt="x" src="there.png">',
        '<link rel="canonical" href="https://example/">',
        '<svg xmlns="http://www.w3.org/2000/svg"></svg>',
        "<pre>import 'https://cdn.example/x.js'</pre>",
    ],
)
def test_what_asks_nobody_is_not_reported(page, body: str) -> None:
    assert site_checks.foreign_resources(page(body)) == []


@pytest.mark.parametrize(
    "body",
    [
        '<a href="nowhere.html">x</a>',
        '<a href="#nowhere">x</a>',
        '<a href="index.html#nowhere">x</a>',
        '<a href="../secret.html">x</a>',
        '<img src="nowhere.png" alt="x">',
        '<script src="nowhere.js"></script>',
    ],
)
def test_dead_links_are_found(page, body: str) -> None:
    assert len(site_checks.dead_links(page(body))) == 1


@pytest.mark.parametrize("address", ["#here", "index.html#here", "there.png", "./", "mailto:a@b.c"])
def test_good_links_are_not_reported(page, address: str) -> None:
    assert site_checks.dead_links(page(f'<a href="{address}">x</a>')) == []


@pytest.mark.parametrize(
    "image",
    [
        '<img src="there.png">',
        '<img src="there.png" alt="">',
        '<img src="there.png" alt=" ">',
        '<img src="there.png" alt="there.png">',
        '<img src="_images/0a1b.png" alt="_images/0a1b.png">',
    ],
)
def test_pictures_that_say_nothing_are_found(page, image: str) -> None:
    assert len(site_checks.images_without_alt(page(image))) == 1


@pytest.mark.parametrize(
    "image",
    [
        '<img src="there.png" alt="A dot.">',
        '<img src="there.png" alt="" role="presentation">',
        '<a href="#here"><img src="there.png" alt="">The book</a>',
    ],
)
def test_pictures_that_speak_and_decorations_are_not_reported(page, image: str) -> None:
    assert site_checks.images_without_alt(page(image)) == []


@pytest.mark.site
def test_the_browser_sees_a_foreign_request_and_a_missing_file(browser, served, page) -> None:
    body = '<script src="https://cdn.example/x.js"></script><img alt="x" src="nowhere.png">'
    visitor = Visitor(browser, served(page(body)))
    visitor("index.html")
    with pytest.raises(AssertionError) as caught:
        visitor.check_and_close()
    assert "asked for https://cdn.example/x.js" in str(caught.value)
    assert "404" in str(caught.value)
