"""What the parity scripts share: options, the vkbert command, real texts, seeded checkpoints, the verdict."""

import argparse
import json
import os
import pathlib
import subprocess
import sys
import time

import numpy as np
import torch
import transformers

REPOSITORY = pathlib.Path(__file__).resolve().parents[2]

WEIGHT_SPREAD = 0.02  # of biases and around 1 of gammas, which transformers would leave at 0 and 1


def parser(description):
    """Options of every script. Data: real vocabularies and texts, see tests/CMakeLists.txt."""
    options = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--vkbert", default=str(REPOSITORY / "build/release/bin/vkbert"), help="the program to test")
    options.add_argument("--device", default="auto", help="passed to vkbert")
    options.add_argument("--data", type=pathlib.Path, default=os.environ.get("VKBERT_TEST_DATA"),
                         help="test data (default: environment variable VKBERT_TEST_DATA)")
    options.add_argument("--work", type=pathlib.Path, default=REPOSITORY / "build/parity",
                         help="folder for the checkpoints and texts made here (default build/parity)")
    return options


def parse(options):
    """Parses, checks what every script needs, and makes the work folder."""
    args = options.parse_args()
    if args.data is None or not pathlib.Path(args.data).is_dir():
        options.error("no test data: give --data, or set VKBERT_TEST_DATA")
    if not os.access(args.vkbert, os.X_OK):
        options.error(f"{args.vkbert} is not a program: build it, or give --vkbert")
    args.data = pathlib.Path(args.data)
    args.work.mkdir(parents=True, exist_ok=True)
    torch.manual_seed(0)
    transformers.logging.set_verbosity_error()
    transformers.logging.disable_progress_bar()
    return args


def vkbert(args, *arguments):
    """Runs the command; returns its standard output and the seconds it took. Fails loudly when it fails."""
    command = [args.vkbert, *map(str, arguments), "--device", args.device]
    begin = time.monotonic()
    result = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True)
    if result.returncode:
        sys.exit(f"exit code {result.returncode} from: {' '.join(command)}\n{result.stderr.decode(errors='replace')[-3000:]}")
    return result.stdout.decode("utf-8"), time.monotonic() - begin


def vkbert_lines(args, *arguments):
    """The JSON objects that the command printed."""
    return [json.loads(line) for line in vkbert(args, *arguments)[0].splitlines()]


def write_jsonl(path, rows):
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def verdict(name, figures, passed):
    """One line of figures; exit code 1 when not passed."""
    text = ", ".join(f"{key} {value:.3g}" if isinstance(value, float) else f"{key} {value}" for key, value in figures.items())
    print(f"{name}: {'pass' if passed else 'FAIL'}: {text}", flush=True)
    if not passed:
        sys.exit(1)


def sst2(data):
    """The 872 sentences of SST-2's dev set."""
    lines = (data / "sst2/dev.tsv").read_text(encoding="utf-8").split("\n")[1:]
    return [line.split("\t")[0].strip() for line in lines if line]


def naughty_strings(data):
    return json.loads((data / "unicode/blns.json").read_text(encoding="utf-8"))


def long_text(sentences, tokenizer, tokens, start):
    """Sentences from `start` on, until the tokenizer counts at least `tokens`."""
    chosen, index, count = [], start, 2
    while count < tokens:
        chosen.append(sentences[index % len(sentences)])
        count += len(tokenizer.tokenize(chosen[-1]))
        index += 1
    return " ".join(chosen)


def perturb(model, seed):
    """Makes biases and LayerNorms of a fresh model matter."""
    generator = torch.Generator().manual_seed(seed)
    for parameter in model.parameters():
        if parameter.dim() == 1:
            parameter.data += WEIGHT_SPREAD * torch.randn(parameter.shape, generator=generator)
    return model


def saved_model(args, name, class_name, vocabulary, seed, lower_case=True, spread=None, **settings):
    """(folder, model): a random model with a real vocabulary, saved as transformers saves, made once per work folder.

    spread: standard deviation of weight matrices (default: transformers' 0.02).
    """
    folder = args.work / name
    model_class = getattr(transformers, class_name)
    if not (folder / "complete").exists():
        vocab = (args.data / "vocab" / vocabulary).read_text(encoding="utf-8")
        size = vocab.count("\n") + (not vocab.endswith("\n"))
        torch.manual_seed(seed)
        config = transformers.BertConfig(vocab_size=size, architectures=[class_name], **settings)
        if spread is not None:
            config.initializer_range = spread
        model = perturb(model_class(config).eval(), seed)
        folder.mkdir(parents=True, exist_ok=True)
        model.save_pretrained(folder)
        (folder / "vocab.txt").write_text(vocab, encoding="utf-8")
        (folder / "tokenizer_config.json").write_text(json.dumps(
            dict(tokenizer_class="BertTokenizer", do_lower_case=lower_case, strip_accents=None,
                 tokenize_chinese_chars=True, model_max_length=config.max_position_embeddings)))
        (folder / "complete").touch()
    return folder, model_class.from_pretrained(folder).eval()


def tokenizer_of(folder):
    return transformers.AutoTokenizer.from_pretrained(folder)


def encode(tokenizer, text, pair=None, longest=512):
    """Unpadded input of one text or pair, truncated (pairs: the longer side first) as every command of ours does."""
    return tokenizer(text, pair, truncation="longest_first", max_length=longest, return_tensors="pt")


def last_hidden(model, inputs):
    """(tokens,H) float32: one unpadded sequence through transformers."""
    with torch.no_grad():
        return getattr(model, "base_model", model)(**inputs).last_hidden_state[0].numpy()


def max_difference(a, b):
    """Largest absolute difference; infinite when shapes differ or anything is not finite."""
    a, b = np.asarray(a, np.float64), np.asarray(b, np.float64)
    if a.shape != b.shape or not np.isfinite(a).all():
        return float("inf")
    return float(np.abs(a - b).max())
