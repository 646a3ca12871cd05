#!/usr/bin/env python3
"""1,000 texts through transformers (mean pooling and normalisation as sentence-transformers does them) and through
`vkbert embed`: SST-2 dev, naughty strings, pairs, and long texts up to 512 tokens.

    python tests/parity/embed_parity.py --model FOLDER_OF_ALL_MINILM_L6_V2

Passes when normalised embeddings differ by at most 1e-5 in fp32 and cosines are at least 0.9995 in fp16. The model's own
limit of 256 tokens (sentence_bert_config.json) is lifted on both sides, so that all 512 positions are used.
"""

import pathlib

import numpy as np
import torch
import transformers

import common

LONGEST = 512


def make_texts(data, tokenizer):
    """1,000 rows {"text"} or {"text", "pair"}: lengths 2 to 512 tokens."""
    sentences, naughty = common.sst2(data), common.naughty_strings(data)
    rows = [{"text": text} for text in sentences[:400] + naughty[:300]]
    rows += [{"text": a, "pair": b} for a, b in zip(sentences[400:500], sentences[500:600])]
    rows += [{"text": a, "pair": b} for a, b in zip(naughty[300:350], naughty[350:400])]
    lengths = np.linspace(40, 700, 130).astype(int)  # beyond 512: truncated
    rows += [{"text": common.long_text(sentences, tokenizer, n, 7 * i)} for i, n in enumerate(lengths)]
    rows += [{"text": common.long_text(sentences, tokenizer, 30 * (i + 1), i),
              "pair": common.long_text(sentences, tokenizer, 600 - 25 * i, 3 * i)} for i in range(20)]
    assert len(rows) == 1000
    return rows


def reference(model, tokenizer, rows):
    """(1000,H) normalised embeddings, and the number of tokens of each."""
    embeddings, lengths = [], []
    for row in rows:
        inputs = common.encode(tokenizer, row["text"], row.get("pair"), LONGEST)
        hidden = torch.from_numpy(common.last_hidden(model, inputs))
        embeddings.append(torch.nn.functional.normalize(hidden.mean(0), dim=0).numpy())
        lengths.append(len(hidden))
    return np.stack(embeddings), lengths


def ours(args, path, precision, output):
    """Embeddings by the command: from its JSON lines, or from a .npy file."""
    command = ["embed", "--model", args.model, "--input", path, "--input-format", "jsonl", "--precision", precision,
               "--pooling", "mean", "--normalize", "--max-length", LONGEST]
    if output:
        common.vkbert(args, *command, "--output", output)
        return np.load(output), None
    lines = common.vkbert_lines(args, *command)
    assert [line["index"] for line in lines] == list(range(len(lines)))
    return np.array([line["embedding"] for line in lines]), [line["tokens"] for line in lines]


def main():
    options = common.parser(__doc__)
    options.add_argument("--model", type=pathlib.Path, required=True, help="folder of all-MiniLM-L6-v2")
    options.add_argument("--texts", type=int, default=1000, help="a part of them, from all kinds")
    args = common.parse(options)
    tokenizer = common.tokenizer_of(args.model)
    tokenizer.backend_tokenizer.no_padding()
    rows = make_texts(args.data, tokenizer)[::max(1, 1000 // args.texts)]
    model = transformers.AutoModel.from_pretrained(args.model).eval()
    expected, lengths = reference(model, tokenizer, rows)
    path = common.write_jsonl(args.work / "embed_texts.jsonl", rows)

    fp32, tokens = ours(args, path, "fp32", None)
    difference = common.max_difference(fp32, expected)
    fp16, _ = ours(args, path, "fp16", args.work / "embed_fp16.npy")
    fp16 = fp16.astype(np.float64)
    cosine = (fp16 * expected).sum(1) / np.linalg.norm(fp16, axis=1) / np.linalg.norm(expected, axis=1)
    common.verdict("embed parity", {
        "texts": len(rows), "tokens": f"{min(lengths)} to {max(lengths)}, {sum(lengths)} in all",
        "fp32 largest difference": difference, "(limit 1e-5), fp16 smallest cosine": f"{cosine.min():.6f}",
        "(limit 0.9995), token counts equal": tokens == lengths,
    }, difference <= 1e-5 and cosine.min() >= 0.9995 and tokens == lengths)


if __name__ == "__main__":
    main()
