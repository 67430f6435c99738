"""Tokens as the bytes that they write, and the characters that each of them has a share in.

A byte-level tokenizer may split one character over several tokens: texts can't show that, bytes can.
"""

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise
from typing import Any

from cruxtune.records import TokenIds

Pieces = Sequence[bytes]
"""Of one completion: what each token writes, b"" for a special token."""

_BYTE_TOKEN = re.compile(r"<0x([0-9A-F]{2})>")


def token_bytes(tokenizer: Any, ids: TokenIds) -> list[bytes]:
    """What each token writes into the text; special tokens write nothing."""
    write = _from_byte_level if _is_byte_level(tokenizer) else _from_plain
    added = tokenizer.added_tokens_decoder
    special = set(tokenizer.all_special_ids) | {id for id, token in added.items() if token.special}
    names = tokenizer.convert_ids_to_tokens(ids)
    return [
        b"" if id in special else name.encode() if id in added else write(name)
        for id, name in zip(ids, names, strict=True)
    ]


def text_of(pieces: Pieces) -> str:
    """The text that all pieces make; a byte that is part of no character is a lone surrogate."""
    return b"".join(pieces).decode(errors="surrogateescape")


def shared_characters(pieces: Pieces) -> list[str]:
    """Of each piece, all characters of the whole text that any of its bytes belong to.

    >>> shared_characters(["né".encode()[:2], "né".encode()[2:], b" 5"])
    ['né', 'é', ' 5']
    """
    text = text_of(pieces)
    return [text[start:end] for start, end in character_spans(pieces)]


def character_spans(pieces: Pieces) -> list[tuple[int, int]]:
    """From where to where in the text each piece has a share in characters; (0, 0) where in none."""
    _, owners = _owners(pieces)
    return [(owners[start], owners[end - 1] + 1) if end > start else (0, 0) for start, end in _spans(pieces)]


def writes_from(pieces: Pieces, character: int) -> list[bool]:
    """Which pieces write the character at that place of the text or one after it, and what comes after them.

    >>> writes_from([b"is", b" 4", b"2", b""], 3)
    [False, True, True, True]
    """
    _, owners = _owners(pieces)
    return [
        owners[end - 1] >= character if end > start else start > 0 and owners[start - 1] >= character
        for start, end in _spans(pieces)
    ]


def _owners(pieces: Pieces) -> tuple[str, list[int]]:
    """The text, and for each of its bytes the character that the byte belongs to."""
    text = text_of(pieces)
    sizes = (len(character.encode(errors="surrogateescape")) for character in text)
    return text, [index for index, size in enumerate(sizes) for _ in range(size)]


def _spans(pieces: Pieces) -> list[tuple[int, int]]:
    return list(pairwise(accumulate(map(len, pieces), initial=0)))


def _is_byte_level(tokenizer: Any) -> bool:
    return b"ByteLevel" in tokenizer.backend_tokenizer.decoder.__getstate__()


def _byte_alphabet() -> dict[str, int]:
    """GPT-2's table: a printable byte is its own character, the others are those from 256 on."""
    printable = [*range(33, 127), *range(161, 173), *range(174, 256)]
    others = [byte for byte in range(256) if byte not in printable]
    return {chr(byte): byte for byte in printable} | {chr(256 + n): byte for n, byte in enumerate(others)}


_BYTES = _byte_alphabet()


def _from_byte_level(name: str) -> bytes:
    return bytes(_BYTES[character] for character in name)


def _from_plain(name: str) -> bytes:
    """SentencePiece's way: `▁` is a space, `<0x0A>` a byte."""
    byte = _BYTE_TOKEN.fullmatch(name)
    return bytes([int(byte[1], 16)]) if byte else name.replace("▁", " ").encode()
