"""Captions in the report's pictures."""

from hybridkp.report.plots import plain


def test_plain_keeps_spaces_and_names_what_the_font_lacks() -> None:
    assert plain("2.4\N{NO-BREAK SPACE}% of $1") == r"2.4 % of \$1"
    assert plain("a\N{PILE OF POO}") == "a?"
