"""Characters that a terminal interprets instead of showing, as visible escapes.

Reasons, details, topics, names and error texts come from other programs. A control character in
them can move the cursor, recolour the screen, reverse the text or begin a false line.
"""

from __future__ import annotations

import json
import re

from rich.text import Text

_CONTROL = (
    r"\x00-\x08\x0b-\x1f\x7f-\x9f"  # C0 but tab and newline; DEL; C1
    r"\u061c\u200e\u200f\u202a-\u202e\u2066-\u2069"  # direction of the text
    r"\u2028\u2029"  # separators of lines and paragraphs
    r"\u200b\u2060-\u2065\ufeff\U000e0000-\U000e007f"  # invisible
    r"\ud800-\udfff"  # half characters, which no encoding accepts
)
_MULTILINE = re.compile(f"[{_CONTROL}]")
_ONE_LINE = re.compile(rf"[\t\n{_CONTROL}]")


def _escaped(match: re.Match[str]) -> str:
    return match.group().encode("unicode_escape").decode()


def visible(text: str) -> str:
    r"""The text with visible escapes; tabs and newlines stay.

    >>> visible("a\x1b[31m\x9b\u202e\nb")
    'a\\x1b[31m\\x9b\\u202e\nb'
    """
    return _MULTILINE.sub(_escaped, text)


def one_line(text: str) -> str:
    r"""The text with visible escapes, in one line.

    >>> one_line("line 1\nline 2")
    'line 1\\nline 2'
    """
    return _ONE_LINE.sub(_escaped, text)


def one_line_text(text: Text) -> Text:
    """A styled text with visible escapes, in one line; the styles stay."""
    matches = list(_ONE_LINE.finditer(text.plain))
    if not matches:
        return text
    escaped = text.blank_copy()
    end = 0
    for match in matches:
        escaped.append_text(text[end : match.start()])
        original = text[match.start()]
        original.plain = _escaped(match)
        for span in text[match.start()].spans:
            original.stylize(span.style)
        escaped.append_text(original)
        end = match.end()
    return escaped.append_text(text[end:])


def visible_json(content: str) -> str:
    r"""JSON in which such characters are JSON escapes; it has the same meaning.

    >>> visible_json('{"a": "\x9b"}')
    '{"a": "\\u009b"}'
    """
    return _MULTILINE.sub(_json_escape, content)


def _json_escape(match: re.Match[str]) -> str:
    char = match.group()
    return f"\\u{ord(char):04x}" if ord(char) < 0x10000 else json.dumps(char)[1:-1]
