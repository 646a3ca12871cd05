#!/usr/bin/env python3
"""Last hidden states of random BASE and LARGE checkpoints, saved by transformers, through `vkbert embed --pooling none`
and through PyTorch in fp32.

    python tests/parity/hidden_parity.py [--shapes base large]

Passes when no value differs by more than 2e-4. Needs 1.8 GB of disk in the work folder.
"""

import numpy as np

import common

# layers, hidden, heads, feed-forward, lengths of the texts in tokens
SHAPES = {
    "base": (12, 768, 12, 3072, [2, 5, 17, 64, 129, 512]),
    "large": (24, 1024, 16, 4096, [3, 33, 128]),
}
LIMIT = 2e-4


def compare(args, name):
    layers, hidden, heads, feed_forward, lengths = SHAPES[name]
    folder, model = common.saved_model(args, f"random-{name}", "BertModel", "bert-base-uncased-vocab.txt", seed=11,
                                       num_hidden_layers=layers, hidden_size=hidden, num_attention_heads=heads,
                                       intermediate_size=feed_forward)
    tokenizer = common.tokenizer_of(folder)
    sentences = common.sst2(args.data)
    texts = ["" if n == 2 else common.long_text(sentences, tokenizer, n, 31 * n) for n in lengths]
    expected = np.concatenate([common.last_hidden(model, common.encode(tokenizer, text)) for text in texts])
    path = common.write_jsonl(args.work / f"hidden_{name}.jsonl", [{"text": text} for text in texts])
    output = args.work / f"hidden_{name}.npy"
    _, seconds = common.vkbert(args, "embed", "--model", folder, "--pooling", "none", "--no-normalize", "--precision",
                               "fp32", "--max-length", 512, "--input", path, "--input-format", "jsonl", "--output", output)
    difference = common.max_difference(np.load(output), expected)
    common.verdict(f"hidden parity {name}", {
        "tokens": len(expected), "largest difference": difference, "(limit 2e-4), largest value":
        float(np.abs(expected).max()), "vkbert seconds": seconds}, difference <= LIMIT)


def main():
    options = common.parser(__doc__)
    options.add_argument("--shapes", nargs="+", choices=list(SHAPES), default=list(SHAPES))
    args = common.parse(options)
    for name in args.shapes:
        compare(args, name)


if __name__ == "__main__":
    main()
