"""Changes the beginning of a method in a Java class file, without a compiler.

Only what that needs of the format (The Java Virtual Machine Specification, chapter 4): entries are
appended to the constant pool, and the first instructions of one method are replaced.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

# Instructions, by their names in the specification.
NOP = b"\x00"
ICONST_3 = b"\x06"
ALOAD_0 = b"\x2a"
ALOAD_1 = b"\x2b"
DUP = b"\x59"
INVOKEVIRTUAL = b"\xb6"
INVOKESPECIAL = b"\xb7"
INVOKESTATIC = b"\xb8"
NEW = b"\xbb"

_UTF8, _LONG, _DOUBLE, _CLASS, _METHOD, _NAME_AND_TYPE = 1, 5, 6, 7, 10, 12
# Bytes after the tag of each kind of entry; a text has its length in front.
_ENTRY_BYTES = {3: 4, 4: 4, 5: 8, 6: 8, 7: 2, 8: 2, 9: 4, 10: 4, 11: 4, 12: 4, 15: 3, 16: 2}
_ENTRY_BYTES |= {17: 4, 18: 4, 19: 2, 20: 2}
_POOL_START = 10


class UnexpectedClassError(ValueError):
    """The class is not built as the change expects."""


@dataclass(frozen=True, slots=True)
class _Code:
    """Where a method's code lies in the part behind the constant pool."""

    attribute: int
    """Offset of the attribute's length; maximum of the stack, of locals and the code follow."""
    code: bytes
    fixed: bool
    """Whether offsets into the code exist outside of it, so that its length must stay."""


class ClassFile:
    """One class; `to_bytes` gives it with all changes.

    Raises
    ------
    UnexpectedClassError
        When the content is not a class file.
    """

    def __init__(self, content: bytes) -> None:
        if content[:4] != b"\xca\xfe\xba\xbe":
            raise UnexpectedClassError("This is not a class file.")
        self._head = content[:8]
        self._texts: dict[int, bytes] = {}
        self._count = _u2(content, 8)
        end = self._read_pool(content)
        self._pool = content[_POOL_START:end]
        self._rest = bytearray(content[end:])

    def _read_pool(self, content: bytes) -> int:
        at, index = _POOL_START, 1
        while index < self._count:
            tag = content[at]
            if tag == _UTF8:
                length = _u2(content, at + 1)
                self._texts[index] = content[at + 3 : at + 3 + length]
                at += 3 + length
            else:
                at += 1 + _ENTRY_BYTES[tag]
            index += 2 if tag in {_LONG, _DOUBLE} else 1
        return at

    def class_reference(self, name: str) -> bytes:
        """Append a class to the constant pool; returns its index as an operand."""
        return self._add(_CLASS, self._text(name))

    def method_reference(self, owner: str, name: str, descriptor: str) -> bytes:
        """Append a method of a class to the constant pool; returns its index as an operand."""
        signature = self._add(_NAME_AND_TYPE, self._text(name) + self._text(descriptor))
        return self._add(_METHOD, self.class_reference(owner) + signature)

    def _text(self, text: str) -> bytes:
        return self._add(_UTF8, struct.pack(">H", len(text)) + text.encode("ascii"))

    def _add(self, tag: int, entry: bytes) -> bytes:
        self._pool += bytes([tag]) + entry
        self._count += 1
        return struct.pack(">H", self._count - 1)

    def replace_beginning(
        self, name: str, descriptor: str, *, old: bytes, new: bytes, stack: int
    ) -> None:
        """Replace the first instructions of a method, which then needs `stack` slots.

        Raises
        ------
        UnexpectedClassError
            When there is no such method, it begins differently, or its length cannot change.
        """
        body = self._code(name, descriptor)
        if not body.code.startswith(old):
            raise UnexpectedClassError(f"The method {name} begins with other instructions.")
        if body.fixed and len(old) != len(new):
            raise UnexpectedClassError(f"The length of the method {name} cannot change.")
        code = new + body.code[len(old) :]
        at = body.attribute
        length, before, local_slots = struct.unpack_from(">IHH", self._rest, at)
        head = struct.pack(
            ">IHHI",
            length + len(new) - len(old),
            max(before, stack),
            local_slots,
            len(code),
        )
        self._rest[at : at + len(head) + len(body.code)] = head + code

    def _code(self, name: str, descriptor: str) -> _Code:
        signature = (name.encode(), descriptor.encode())
        interfaces = 6
        fields = interfaces + 2 + 2 * _u2(self._rest, interfaces)
        at = fields + 2
        for _field in range(_u2(self._rest, fields)):
            at = self._after_attributes(at + 6)
        methods, at = _u2(self._rest, at), at + 2
        for _method in range(methods):
            names = struct.unpack_from(">HH", self._rest, at + 2)
            if tuple(self._texts[index] for index in names) == signature:
                return self._code_attribute(at + 6, name)
            at = self._after_attributes(at + 6)
        raise UnexpectedClassError(f"There is no method {name} with the descriptor {descriptor}.")

    def _after_attributes(self, at: int) -> int:
        """The offset behind the attributes whose number is at `at`."""
        for _attribute in range(_u2(self._rest, at)):
            at += 6 + _u4(self._rest, at + 4)
        return at + 2

    def _code_attribute(self, at: int, name: str) -> _Code:
        for _attribute in range(_u2(self._rest, at)):
            if self._texts[_u2(self._rest, at + 2)] == b"Code":
                return self._read_code(at + 4)
            at += 6 + _u4(self._rest, at + 4)
        raise UnexpectedClassError(f"The method {name} has no code.")

    def _read_code(self, attribute: int) -> _Code:
        length = _u4(self._rest, attribute + 8)
        end = attribute + 12 + length
        handlers = _u2(self._rest, end)
        at = end + 2 + 8 * handlers
        frames = False
        for _attribute in range(_u2(self._rest, at)):
            frames |= self._texts[_u2(self._rest, at + 2)].startswith(b"StackMap")
            at += 6 + _u4(self._rest, at + 4)
        code = bytes(self._rest[attribute + 12 : end])
        return _Code(attribute, code, fixed=handlers > 0 or frames)

    def to_bytes(self) -> bytes:
        """The class with all changes."""
        return self._head + struct.pack(">H", self._count) + self._pool + bytes(self._rest)


def _u2(content: bytes | bytearray, at: int) -> int:
    return int.from_bytes(content[at : at + 2], "big")


def _u4(content: bytes | bytearray, at: int) -> int:
    return int.from_bytes(content[at : at + 4], "big")
