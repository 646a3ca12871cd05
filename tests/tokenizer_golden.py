#!/usr/bin/env python3
"""Writes tests/golden/tokenizer.json, what Hugging Face's tokenizer answers, for tokenizer_test to compare with.

    python3 tests/tokenizer_golden.py                                   (needs: pip install tokenizers)

The vocabulary is made here too: a few words, and every character of `characters` alone and as the continuation of a
word, so that nothing that the normalizer does to a character is hidden behind [UNK]. `texts` are answered in full.
`blocks` are checksums (FNV-1a over ids, begins and ends as little-endian int32) of the answers to "a" + c + "b" for all
code points c of 256.
"""

import json
import pathlib
import random
import struct

import tokenizers
from tokenizer_parity import random_texts

TARGET = pathlib.Path(__file__).parent / "golden/tokenizer.json"
SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = ["vulkan", "tensor", "graph", "##ics", "##ing", "##s", "##es", "un", "##able", "read", "write", "memory", "naive", "cafe", "na\u00efve",
         "Graph", "the", "a", "of", "quick", "brown", "don", "hello", "world", "##llo", "[mask]", "\u6771\u4eac", "##\u4eac", "tok", "##en", "##ize"]
# White space is left out: a vocabulary file cannot hold it.
CHARACTERS = [(0x21, 0x7E), (0xA1, 0x167F), (0x1681, 0x1FFF), (0x200B, 0x2027), (0x2030, 0x205E), (0x2060, 0x2FFF),
              (0x3001, 0x33FF), (0x4E00, 0x9FFF), (0xA4D0, 0xABFF), (0xFB00, 0xFFFD), (0x10400, 0x12543),
              (0x16A00, 0x16FFF), (0x1D000, 0x1D7FF), (0x1E000, 0x1E95F), (0x20000, 0x2A6DF)]
OPTIONS = [{"lowercase": True}, {"lowercase": False}, {"lowercase": True, "strip_accents": False},
           {"lowercase": False, "strip_accents": True, "handle_chinese_chars": False}]
BLOCKS = [*range(0, 0xD8), *range(0xE0, 0x325), 0xE00, 0xE01, 0xF00, 0x10FF]
WRITTEN = [
    "", " ", "The quick brown fox.", "Vulkan graphics, unreadable tensors!", "na\u00efve caf\u00e9 NA\u00cfVE CAFE\u0301", "don't", "\u6771\u4eac\u30bf\u30ef\u30fc\u3068\u5bcc\u58eb\u5c71",
    "\ud55c\uad6d\uc5b4 \ud1a0\ud06c\ub098\uc774\uc800", "\u0130stanbul \u01c5 \ufb01", "[CLS] a [MASK] b[SEP]", "[mask] [MASK]ing", "a\u0301\u0323\u0302", "\u1e9b\u0323", "x" * 100, "x" * 101,
    "\u00e9" * 100 + " " + "\u00e9" * 101, "tab\there\nline\r\nend", "zero\u0000width\u200bjoin\u200der", "\ufffd\ufeffbom", "a\u302e\u0301b", "\u1d15e\U0001d15e",
    "\u0344\u0958\u2126\u212b\u1fef\u037e", "price: \u20ac5.00 (\u00a34.30)", "\U0001f600 emoji \U0001f468\u200d\U0001f469", "\u202eright-to-left \u05e9\u05dc\u05d5\u05dd \u0645\u0631\u062d\u0628\u0627",
    "end\u3000of\u00a0text\u2028", "hellographs worldizing tokenizes", "a" * 40 + "\u4e2d" + "b" * 70, "##ing ##s #", "\u00df\u1e9e SS",
]


def vocabulary():
    tokens = SPECIAL + WORDS
    known = set(tokens)
    for first, last in CHARACTERS:
        for c in range(first, last + 1):
            tokens += [t for t in (chr(c), "##" + chr(c)) if t not in known]
    return {token: number for number, token in enumerate(tokens)}


def make(options, words):
    tokenizer = tokenizers.BertWordPieceTokenizer(words, **options)._tokenizer
    return tokenizer


def checksum(e):
    numbers = e.ids + [x for offset in e.offsets for x in offset]
    value = 0xCBF29CE484222325
    for byte in struct.pack(f"<{len(numbers)}i", *numbers):
        value = (value ^ byte) * 0x100000001B3 & 0xFFFFFFFFFFFFFFFF
    return value


def block_checksum(tokenizer, block):
    value = 0
    texts = [f"a{chr(c)}b" for c in range(block * 256, block * 256 + 256)]
    for e in tokenizer.encode_batch(texts):
        value = (value * 31 + checksum(e)) & 0xFFFFFFFFFFFFFFFF
    return f"{value:016x}"


def answer(e):
    return {"ids": e.ids, "offsets": [x for offset in e.offsets for x in offset]}


def window(e):
    no = lambda values: [-1 if v is None else v for v in values]
    return {**answer(e), "type_ids": e.type_ids, "special": e.special_tokens_mask, "words": no(e.word_ids),
            "sequences": no(e.sequence_ids)}


def windows(words):
    cases = []
    question, context = "Readable graphs?", "The quick brown fox reads naïve tensors of the world, 東京 and unreadable graphics. " * 2
    for first, second, most, stride, strategy in [
            (context, None, 16, 4, "longest_first"), (context, None, 7, 0, "longest_first"), (question, context, 24, 8, "only_second"),
            (context, question, 24, 3, "only_first"), (context, context, 30, 5, "longest_first"), (question, context, 12, 2, "longest_first"),
            (context, None, 2, 0, "longest_first"), (question, "", 64, 0, "longest_first"), ("", context, 15, 3, "only_second")]:
        tokenizer = make({"lowercase": True}, words)
        tokenizer.enable_truncation(most, stride=stride, strategy=strategy)
        e = tokenizer.encode(first, second)
        cases.append({"text": first, "pair": second, "max_length": most, "stride": stride, "truncation": strategy,
                      "windows": [window(x) for x in [e] + e.overflowing]})
    return cases


def main():
    words = vocabulary()
    ascii_words = [w for w in WORDS if w.isascii()]
    texts = WRITTEN + random_texts(50, ascii_words, random.Random(1))
    golden = {"special": SPECIAL, "words": WORDS, "characters": CHARACTERS, "block_numbers": BLOCKS,
              "texts": texts, "sets": [], "windows": windows(words)}
    for options in OPTIONS:
        tokenizer = make(options, words)
        golden["sets"].append({"options": options, "answers": [answer(e) for e in tokenizer.encode_batch(texts)],
                               "blocks": [block_checksum(tokenizer, block) for block in BLOCKS]})
    TARGET.parent.mkdir(exist_ok=True)
    TARGET.write_text(json.dumps(golden, separators=(",", ":")).replace('{"', '\n{"') + "\n")


if __name__ == "__main__":
    main()
