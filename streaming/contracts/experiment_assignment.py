"""The arm that a user meets in an experiment: the same function as Envoy's, which does the routing.

Envoy hashes the header with XXH64 (seed 0), after its `regex_rewrite` has put the experiment's id
before it, and takes the remainder of the division by the sum of the weights. So a user keeps the
arm for as long as the experiment lasts, and two experiments assign users independently.
"""

from __future__ import annotations

import msgspec

from streaming.contracts.experiment_records import ExperimentArm, ExperimentDefinition
from streaming.contracts.ids import digest, record_id

SHARES = 10_000
"""Shares of users are in hundredths of a percent; they add up to at most this."""

_MASK = (1 << 64) - 1
_P1, _P2, _P3 = 0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9
_P4, _P5 = 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5


def with_id(definition: ExperimentDefinition, model: str) -> ExperimentDefinition:
    """The definition with the id that its text and its model have."""
    text = msgspec.json.encode(msgspec.structs.replace(definition, experiment_id=""))
    # read again, because a whole number has another text than the float that it becomes
    plain = msgspec.json.decode(text, type=ExperimentDefinition)
    identity = record_id("experiment", model, digest(msgspec.json.encode(plain)))
    return msgspec.structs.replace(plain, experiment_id=identity)


def arm_of(definition: ExperimentDefinition, user: str) -> ExperimentArm | None:
    """The arm that a user meets; None for a user who takes no part."""
    position = user_hash(definition.experiment_id, user) % SHARES
    for arm in definition.arms:
        if position < arm.share:
            return arm
        position -= arm.share
    return None


def user_hash(salt: str, user: str) -> int:
    """The 64 bits by which a user is assigned, uniform over users."""
    return xxh64(salted(salt, user))


def salted(salt: str, user: str) -> bytes:
    """The text that is hashed."""
    return f"{salt}|{user}".encode()


def xxh64(data: bytes) -> int:
    """XXH64 with seed 0, by the specification of its author, Yann Collet.

    >>> f"{xxh64(b''):x}", f"{xxh64(b'a'):x}", f"{xxh64(b'x' * 100):x}"
    ('ef46db3751d8e999', 'd24ec4f1a98c6e5b', '92f0de5a88a3c094')
    """
    length, at = len(data), 0
    if length >= 32:
        v = [(_P1 + _P2) & _MASK, _P2, 0, -_P1 & _MASK]
        while at + 32 <= length:
            for index in range(4):
                word = int.from_bytes(data[at : at + 8], "little")
                v[index] = _round(v[index], word)
                at += 8
        value = sum(_rotated(v[index], turn) for index, turn in enumerate((1, 7, 12, 18))) & _MASK
        for accumulator in v:
            value = ((value ^ _round(0, accumulator)) * _P1 + _P4) & _MASK
    else:
        value = _P5
    value = (value + length) & _MASK
    while at + 8 <= length:
        value ^= _round(0, int.from_bytes(data[at : at + 8], "little"))
        value = (_rotated(value, 27) * _P1 + _P4) & _MASK
        at += 8
    if at + 4 <= length:
        value ^= (int.from_bytes(data[at : at + 4], "little") * _P1) & _MASK
        value = (_rotated(value, 23) * _P2 + _P3) & _MASK
        at += 4
    for byte in data[at:]:
        value = (_rotated(value ^ (byte * _P5) & _MASK, 11) * _P1) & _MASK
    value = ((value ^ (value >> 33)) * _P2) & _MASK
    value = ((value ^ (value >> 29)) * _P3) & _MASK
    return value ^ (value >> 32)


def _round(accumulator: int, word: int) -> int:
    return (_rotated((accumulator + word * _P2) & _MASK, 31) * _P1) & _MASK


def _rotated(value: int, bits: int) -> int:
    return ((value << bits) | (value >> (64 - bits))) & _MASK
