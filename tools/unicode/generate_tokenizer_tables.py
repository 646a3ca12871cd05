#!/usr/bin/env python3
"""Writes bert/tokenizer/unicode_tables.cpp: the Unicode properties that Hugging Face's tokenizers uses.

The reference mixes libraries of different Unicode versions (unicode_categories and unicode-normalization-alignments
are of Unicode 9, the Rust standard library's lower case and the regex crate's \\w are recent), so no single version of
the Unicode database, and no distribution's utf8proc or ICU, reproduces it. Every table is therefore read out of the
reference itself, by asking it about each of the 1,112,064 code points.

    python3 tools/unicode/generate_tokenizer_tables.py [--check]        (needs: pip install tokenizers)
"""

import argparse
import pathlib
import sys
import unicodedata

import tokenizers
from tokenizers import normalizers, pre_tokenizers

TARGET = pathlib.Path(__file__).resolve().parents[2] / "bert/tokenizer/unicode_tables.cpp"
WIDTH = 110
CODE_POINTS = [c for c in range(0x110000) if not 0xD800 <= c < 0xE000]


def bert_normalizer(**on):
    off = {"clean_text": False, "handle_chinese_chars": False, "strip_accents": False, "lowercase": False}
    return normalizers.BertNormalizer(**{**off, **on}).normalize_str


def select(keep):
    """[first, last] ranges of the code points for which keep(character) holds."""
    ranges = []
    for c in CODE_POINTS:
        if keep(chr(c)):
            if ranges and ranges[-1][1] == c - 1:
                ranges[-1][1] = c
            else:
                ranges.append([c, c])
    return ranges


def word_characters():
    """Characters that keep a single_word added token from matching behind them: \\w of the regex crate."""
    tokenizer = tokenizers.Tokenizer(tokenizers.models.WordLevel({"[UNK]": 0, "X": 1}, unk_token="[UNK]"))
    tokenizer.add_tokens([tokenizers.AddedToken("X", single_word=True, normalized=False)])
    return select(lambda c: c != "X" and 1 not in tokenizer.encode(c + "X").ids or c == "X")


def lower_case():
    """(runs of {first, last, stride, delta}, {code point: text} for the mappings to several characters)"""
    lower = bert_normalizer(lowercase=True)
    runs, special = [], {}
    for c in CODE_POINTS:
        text = lower(chr(c))
        if text == chr(c):
            continue
        if len(text) > 1:
            special[c] = text
            continue
        delta = ord(text) - c
        if runs and runs[-1][3] == delta:
            first, last, stride, _ = runs[-1]
            if first == last and c - last <= 2 or c - last == stride:
                runs[-1][1:3] = [c, c - last]
                continue
        runs.append([c, c, 1, delta])
    return runs, special


def combining_classes():
    """Runs of {first, last, class}, found by how the reference orders a mark among marks of known class."""
    nfd = normalizers.NFD().normalize_str
    # One mark of each class, from old Unicode 3.2 where it had the class, since those the reference surely has too.
    known = {}
    for version in unicodedata.ucd_3_2_0, unicodedata:
        for mark in map(chr, range(0x300, 0x20000)):
            if version.combining(mark) and nfd(mark) == mark:
                known.setdefault(version.combining(mark), mark)
    low, high = known[1], known[240]
    known = {k: mark for k, mark in known.items() if nfd(mark + low) != mark + low or k == 1}
    runs = []
    for c in CODE_POINTS:
        mark = chr(c)
        if nfd(mark) != mark or not (nfd(mark + low) != mark + low or nfd(high + mark) != high + mark):
            continue
        exact = [k for k, other in known.items()
                 if nfd(other + mark) == other + mark and nfd(mark + other) == mark + other]
        if len(exact) != 1:
            sys.exit(f"combining class of U+{c:04X}: {exact}")
        if runs and runs[-1][1] == c - 1 and runs[-1][2] == exact[0]:
            runs[-1][1] = c
        else:
            runs.append([c, c, exact[0]])
    return runs


def decompositions():
    """Full canonical decompositions, Hangul syllables left out: header (length << 24 | code point), characters."""
    nfd = normalizers.NFD().normalize_str
    flat = []
    for c in CODE_POINTS:
        text = nfd(chr(c))
        if text != chr(c) and not 0xAC00 <= c <= 0xD7A3:
            flat += [len(text) << 24 | c] + [ord(x) for x in text]
    return flat


def packed(items):
    lines, line = [], "   "
    for item in items:
        if len(line) + len(item) + 2 > WIDTH:
            lines.append(line)
            line = "   "
        line += f" {item},"
    return "\n".join(lines + [line])


def table(kind, name, rows):
    if isinstance(rows[0], int):
        items = [f"0x{x:x}" for x in rows]
    else:
        items = ["{" + ", ".join(f"0x{x:x}" if i < 2 else str(x) for i, x in enumerate(row)) + "}" for row in rows]
    return (f"constexpr {kind} {name}_data[] = {{\n{packed(items)}\n}};\n"
            f"const std::span<const {kind}> {name}{{{name}_data}};\n")


def generate():
    clean, strip, chinese = (bert_normalizer(**{k: True})
                             for k in ("clean_text", "strip_accents", "handle_chinese_chars"))
    pieces = lambda c: len(pre_tokenizers.BertPreTokenizer().pre_tokenize_str(f"a{c}b"))
    runs, special = lower_case()
    if {c: text for c, text in special.items()} != {0x130: "i\u0307"}:
        sys.exit(f"lower case to several characters: {special}")
    parts = [
        table("CodePointRange", "removed_by_clean_text", select(lambda c: clean(f"a{c}b") == "ab")),
        table("CodePointRange", "white_space", select(lambda c: pieces(c) == 2)),
        table("CodePointRange", "punctuation", select(lambda c: pieces(c) == 3)),
        table("CodePointRange", "chinese", select(lambda c: chinese(c) == f" {c} ")),
        table("CodePointRange", "nonspacing_marks", select(lambda c: strip(f"a{c}b") == "ab")),
        table("CodePointRange", "word_characters", word_characters()),
        table("LowerCaseRun", "lower_case", runs),
        table("CombiningClassRun", "combining_classes", combining_classes()),
        table("uint32_t", "decompositions", decompositions()),
    ]
    return (f"// Generated by tools/unicode/generate_tokenizer_tables.py from tokenizers {tokenizers.__version__}; "
            "do not edit.\n// clang-format off\n"
            '#include "bert/tokenizer/unicode_tables.hpp"\n\nnamespace vkbert::unicode {\n\n'
            + "\n".join(parts) + "\n}  // namespace vkbert::unicode\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--check", action="store_true", help="compare instead of writing; exit 1 if they differ")
    text = generate() if (arguments := parser.parse_args()) else ""
    if not arguments.check:
        TARGET.write_text(text)
        return 0
    body = lambda t: t.split("\n", 1)[1]
    same = body(TARGET.read_text()) == body(text)
    print("same" if same else f"{TARGET.name} differs from tokenizers {tokenizers.__version__}")
    return 0 if same else 1


if __name__ == "__main__":
    sys.exit(main())
