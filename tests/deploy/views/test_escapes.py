"""Control characters never reach the terminal: they are printed as visible escapes."""

from __future__ import annotations

import io
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.text import Text
from rich.tree import Tree

from deploy.views.escapes import one_line, one_line_text, visible, visible_json
from deploy.views.output import OutputConsole, outcome_text, show_json, table

CONTROLS = {
    "\x00": r"\x00",
    "\x07": r"\x07",
    "\x08": r"\x08",
    "\r": r"\r",
    "\x1b": r"\x1b",
    "\x7f": r"\x7f",
    "\x9b": r"\x9b",
    "\u061c": r"\u061c",
    "\u200e": r"\u200e",
    "\u2028": r"\u2028",
    "\u2029": r"\u2029",
    **{chr(code): rf"\u{code:04x}" for code in (*range(0x202A, 0x202F), *range(0x2066, 0x206A))},
    "\ufeff": r"\ufeff",
    "\ud83d": r"\ud83d",
    "\U000e0041": r"\U000e0041",
}


def console() -> OutputConsole:
    return OutputConsole(
        file=io.StringIO(), markup=False, emoji=False, highlight=False, color_system=None
    )


def printed(renderable: object, *, soft_wrap: bool = False) -> str:
    output = console()
    output.print(renderable, soft_wrap=soft_wrap)
    assert isinstance(output.file, io.StringIO)
    return output.file.getvalue()


@pytest.mark.parametrize(("char", "escape"), CONTROLS.items(), ids=CONTROLS.values())
def test_messages_texts_cells_and_trees_show_the_escape(char: str, escape: str) -> None:
    text = f"a{char}b"
    rows = table(text, text, f">{text}")
    rows.add_row(text, outcome_text("ok", text))
    tree = Tree(text)
    tree.add(text)
    for renderable, count in ((text, 1), (rows, 5), (tree, 2)):
        shown = printed(renderable)
        assert char not in shown
        assert shown.count(f"a{escape}b") == count
        assert char not in printed(renderable, soft_wrap=True)


@pytest.mark.parametrize(
    "char", [char for char in CONTROLS if char not in "\x07\x08\r"], ids=lambda char: hex(ord(char))
)
def test_a_styled_text_shows_the_escape(char: str) -> None:
    """Rich itself drops BEL, backspace and carriage return from a `Text`."""
    assert printed(Text(f"a{char}b", style="red")) == f"a{CONTROLS[char]}b\n"


@pytest.mark.parametrize("line_end", ["\n", "\t"])
def test_newlines_stay_in_messages_and_are_escapes_in_cells(line_end: str) -> None:
    escape = line_end.encode("unicode_escape").decode()
    text = f"one{line_end}version 9 is blessed"
    rows = table(text, text)
    rows.add_row(text)
    rows.add_row(Text(text))
    rows.add_row(outcome_text(text))
    shown = printed(rows).splitlines()
    assert len(shown) == 5
    assert all(f"one{escape}version 9" in line for line in shown)
    tree = Tree(text)
    tree.add(text).add(text)
    shown = printed(tree).splitlines()
    assert len(shown) == 3
    assert all(f"one{escape}version 9" in line for line in shown)
    assert visible(text) == text
    assert printed("first\nsecond") == "first\nsecond\n"


def test_the_styles_of_a_text_stay() -> None:
    text = Text.assemble("before", ("red\x1b[1mred", "red"), "after\n", style="bold")
    escaped = one_line_text(text)
    assert escaped.plain == r"beforered\x1b[1mredafter\n"
    assert escaped.style == "bold"
    red = [span for span in escaped.spans if span.style == "red"]
    assert {i for span in red for i in range(span.start, span.end)} == {
        *range(len("before"), len(r"beforered\x1b[1mred"))
    }
    unchanged = Text("plain")
    assert one_line_text(unchanged) is unchanged


@pytest.mark.parametrize("text", ["", "é ü 東京 ✓ –", "👩\u200d🚀", "a b", r"\x1b", "[/x]"])
def test_printable_text_stays(text: str) -> None:
    assert visible(text) == one_line(text) == text


@pytest.mark.parametrize("char", CONTROLS, ids=CONTROLS.values())
def test_json_has_the_same_meaning_and_no_control_character(
    char: str, capsys: pytest.CaptureFixture[str]
) -> None:
    show_json({"text": f"a{char}b", char: [1.5, None]})
    shown = capsys.readouterr().out
    assert char not in shown
    assert json.loads(shown) == {"text": f"a{char}b", char: [1.5, None]}


@given(st.text())
def test_escapes_are_complete_and_stable(text: str) -> None:
    for escaped in (visible(text), one_line(text), visible_json(text)):
        assert not set(CONTROLS) & set(escaped)
        escaped.encode()
        assert visible(escaped) == escaped
    assert "\n" not in one_line(text)
    assert json.loads(visible_json(json.dumps(text, ensure_ascii=False))) == text
