"""Docstrings of the house, as the manual shows them."""

import pytest
from house_docstrings import introduction, section, sections, to_markdown, to_rest

TEXT = """Do a thing of w * x.

    w <- w + eta * x
      where x > 0

It stays in [0, 1], so c_ is `a_b`; then:

- one
- two

Args:
    eta: Step,
        which may be long.

        | key | shape |
        |---|---|
        | `a` | (E,) |

    num: B.

Raises:
    ConfigError: It is wrong.
"""


def test_a_docstring_is_split_at_its_headers():
    assert [part.name for part in sections(TEXT)] == ["", "Args", "Raises"]
    assert section(TEXT, "Args").lines[:2] == ["eta: Step,", "    which may be long."]
    with pytest.raises(ValueError, match="no section 'Returns'"):
        section(TEXT, "Returns")


def test_equations_become_code_and_keep_their_shape():
    made = to_markdown(sections(TEXT)[0].lines)
    assert "```text\nw <- w + eta * x\n  where x > 0\n```" in made
    assert made.endswith("- one\n- two")

    class Documented:
        __doc__ = TEXT

    assert introduction(Documented) == made


def test_rest_has_literal_blocks_and_escapes_what_would_be_markup():
    made = to_rest(TEXT.splitlines())
    start = made.index("::")
    assert made[start + 2 : start + 4] == ["    w <- w + eta * x", "      where x > 0"]
    assert "Do a thing of w \\* x." in made
    assert "It stays in [0, 1], so c\\_ is `a_b`; then:" in made
    assert "    eta: Step," in made  # sections are left to napoleon
    assert "    num: B\\." in made  # which would begin a list
    assert made.count("::") == 1
