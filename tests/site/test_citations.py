"""Plain links to papers become citations, other links stay."""

import sys

from tools.setup_env import ROOT

sys.path.insert(0, str(ROOT / "_ext"))
import page_citations

KEYS = {"https://doi.org/10.1/x": "lecun1998gradient"}


def test_a_link_that_names_the_year_becomes_a_textual_citation():
    text = "The paper is [LeCun et al. (1998)](https://doi.org/10.1/x)."
    assert page_citations.cited(text, KEYS) == "The paper is {cite:t}`lecun1998gradient`."


def test_other_words_stay_and_get_the_citation_behind_them():
    text = "see [LeNet](https://doi.org/10.1/x)"
    assert page_citations.cited(text, KEYS) == "see LeNet {cite:p}`lecun1998gradient`"


def test_other_links_and_pictures_stay_as_they_are():
    text = "[Colab](https://colab.example) ![x](https://doi.org/10.1/x) [g](../glossary.md#x)"
    assert page_citations.cited(text, KEYS) == text


def test_every_address_of_the_bibliography_is_known():
    keys = page_citations.keys_by_address(ROOT / "references.bib")
    assert keys["https://doi.org/10.1109/5.726791"] == "lecun1998gradient"
    assert len(keys) == (ROOT / "references.bib").read_text().count("\n  url ")
