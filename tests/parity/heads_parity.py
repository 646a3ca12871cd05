#!/usr/bin/env python3
"""Every head's command against transformers (pipelines where there is one), on small random models with real vocabularies:
fill-mask, next-sentence, classify (labels and regression), tag, answer (sliding windows, null answers), choose.

    python tests/parity/heads_parity.py [--only tag ...]

Passes when every label, token and span is the same and no score differs by more than 1e-4.
"""

import json

import torch
import transformers

import common
import squad_reference

SCORE_LIMIT = 1e-4
TIE = 1e-4  # answers whose scores are closer than this may be swapped
SMALL = dict(num_hidden_layers=2, hidden_size=96, num_attention_heads=4, intermediate_size=192, spread=0.2)
NER_LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC", "B-ORG", "I-ORG"]


def model_of(args, name, class_name, seed, cased=False, labels=None, **settings):
    vocabulary = "bert-base-cased-vocab.txt" if cased else "bert-base-uncased-vocab.txt"
    if labels:
        settings |= dict(id2label=dict(enumerate(labels)), label2id={label: i for i, label in enumerate(labels)})
    folder, model = common.saved_model(args, f"small-{name}", class_name, vocabulary, seed, lower_case=not cased,
                                       **(SMALL | settings))
    return folder, model, common.tokenizer_of(folder)


def command(args, name, folder, rows, *options):
    path = common.write_jsonl(args.work / f"heads_{name}.jsonl", rows)
    return common.vkbert_lines(args, name, "--model", folder, "--precision", "fp32", "--input", path, "--input-format",
                               "jsonl", *options)


def logits_of(model, tokenizer, text, pair=None):
    with torch.no_grad():
        return model(**common.encode(tokenizer, text, pair)).logits[0].double()


class Comparison:
    """Counts what differs and keeps the largest difference of scores."""

    def __init__(self):
        self.compared, self.wrong, self.worst, self.first = 0, 0, 0.0, None

    def same(self, ours, expected):
        self.compared += 1
        if ours != expected:
            self.wrong += 1
            self.first = self.first or f"{ours!r} instead of {expected!r}"

    def close(self, ours, expected):
        self.compared += 1
        difference = common.max_difference(ours, expected)
        self.worst = max(self.worst, difference)

    def verdict(self, name):
        figures = {"compared": self.compared, "wrong": self.wrong, "largest score difference": self.worst}
        if self.first:
            figures["first"] = self.first
        common.verdict(name, figures, self.wrong == 0 and self.worst <= SCORE_LIMIT and self.compared > 0)


def fill_mask(args):
    folder, model, tokenizer = model_of(args, "masked-lm", "BertForMaskedLM", 21)
    texts = []
    for i, sentence in enumerate(common.sst2(args.data)[:40]):
        words = sentence.split()
        words[i % len(words)] = "[MASK]"
        words[(3 * i + 1) % len(words)] = "[MASK]"
        texts.append(" ".join(words))
    pipeline = transformers.pipeline("fill-mask", model=model, tokenizer=tokenizer, top_k=5)
    comparison = Comparison()
    for line, text in zip(command(args, "fill-mask", folder, [{"text": t} for t in texts], "--top-k", 5), texts, strict=True):
        expected = pipeline(text)
        expected = expected if isinstance(expected[0], list) else [expected]
        ids = tokenizer(text)["input_ids"]
        comparison.same([mask["position"] for mask in line["masks"]],
                        [i for i, token in enumerate(ids) if token == tokenizer.mask_token_id])
        for mask, predictions in zip(line["masks"], expected):
            comparison.same([(p["id"], p["token"]) for p in mask["predictions"]],
                            [(p["token"], p["token_str"]) for p in predictions])
            comparison.close([p["score"] for p in mask["predictions"]], [p["score"] for p in predictions])
    comparison.verdict("fill-mask")


def next_sentence(args):
    folder, model, tokenizer = model_of(args, "next-sentence", "BertForNextSentencePrediction", 22)
    sentences = common.sst2(args.data)
    comparison = Comparison()
    for a, b in list(zip(sentences[:6], sentences[6:12])):
        lines = common.vkbert_lines(args, "next-sentence", "--model", folder, "--precision", "fp32", a, b)
        comparison.same(len(lines), 1)
        comparison.close(lines[0]["is_next"], logits_of(model, tokenizer, a, b).softmax(-1)[0])
    comparison.verdict("next-sentence")


def classify(args):
    labels = ["negative", "neutral", "positive"]
    folder, model, tokenizer = model_of(args, "classes", "BertForSequenceClassification", 23, labels=labels)
    sentences = common.sst2(args.data)
    rows = [{"text": text} for text in sentences[:40]] + [{"text": a, "pair": b} for a, b in zip(sentences, sentences[1:40])]
    comparison = Comparison()
    for line, row in zip(command(args, "classify", folder, rows), rows, strict=True):
        expected = logits_of(model, tokenizer, **row).softmax(-1)
        comparison.same(line["label"], labels[int(expected.argmax())])
        comparison.same(sorted(line["scores"]), sorted(labels))
        comparison.close([line["scores"][label] for label in labels], expected)
        comparison.close(line["score"], expected.max())
    folder, model, tokenizer = model_of(args, "regression", "BertForSequenceClassification", 24, labels=["LABEL_0"],
                                        problem_type="regression")
    for line, row in zip(command(args, "classify", folder, rows), rows, strict=True):
        comparison.close(line["value"], logits_of(model, tokenizer, **row)[0])
    comparison.verdict("classify")


def tag(args):
    comparison = Comparison()
    compare_tags(args, comparison, *model_of(args, "tags", "BertForTokenClassification", 25, cased=True, labels=NER_LABELS),
                 args.aggregation)
    comparison.verdict(f"tag ({args.aggregation})")


def compare_tags(args, comparison, folder, model, tokenizer, aggregation="first"):
    pipeline = transformers.pipeline("token-classification", model=model, tokenizer=tokenizer, aggregation_strategy=aggregation)
    texts = common.sst2(args.data)[:60] + ["Ada Lovelace lived in London, José in São Paulo.", "北京 is in 中国 !", "a"]
    texts = [text.title() if i % 2 else text for i, text in enumerate(texts)]
    for line, text in zip(command(args, "tag", folder, [{"text": t} for t in texts]), texts, strict=True):
        expected = [entity for entity in pipeline(text) if entity["entity_group"] != "O"]
        comparison.same([(e["label"], e["begin"], e["end"], e["text"]) for e in line["entities"]],
                        [(e["entity_group"], e["start"], e["end"], text[e["start"]:e["end"]]) for e in expected])
        if len(expected) == len(line["entities"]) and expected:
            comparison.close([e["score"] for e in line["entities"]], [float(e["score"]) for e in expected])


def squad_questions(data, per_kind):
    """Questions of SQuAD 2.0's dev set with the longest contexts first among a few articles."""
    articles = json.loads((data / "squad/dev-v2.0-cs224n.json").read_text())["data"][:4]
    paragraphs = [p for article in articles for p in article["paragraphs"]]
    paragraphs.sort(key=lambda p: -len(p["context"]))
    return [dict(question=qa["question"], id=qa["id"], context=p["context"])
            for p in paragraphs[:per_kind] + paragraphs[-per_kind:] for qa in p["qas"][:2]]


def write_squad(path, rows):
    paragraphs = [dict(context=row["context"], qas=[dict(question=row["question"], id=row["id"])]) for row in rows]
    path.write_text(json.dumps(dict(version="v2.0", data=[dict(title="", paragraphs=paragraphs)])))
    return path


def compare_answers(comparison, lines, rows, expected):
    """Same spans, unless a tie decides; same scores."""
    comparison.same([line["id"] for line in lines], [row["id"] for row in rows])
    for line, row in zip(lines, rows, strict=True):
        want = expected(row)
        if want["margin"] > TIE:
            comparison.same((line["answer"], line["begin"], line["end"]), (want["answer"], want["begin"], want["end"]))
        comparison.close(line["score"], want["score"])


def answer(args):
    comparison = Comparison()
    compare_spans(args, comparison, *model_of(args, "answers", "BertForQuestionAnswering", 26, cased=True))
    comparison.verdict("answer")


def compare_spans(args, comparison, folder, model, tokenizer):
    rows = squad_questions(args.data, 6)
    path = write_squad(args.work / "heads_squad.json", rows)
    base = ["answer", "--model", folder, "--precision", "fp32", "--input", path]
    for longest, stride in ((384, 128), (128, 48)):
        lines = common.vkbert_lines(args, *base, "--max-length", longest, "--doc-stride", stride)
        compare_answers(comparison, lines, rows, lambda row: squad_reference.answer(
            model, tokenizer, row["question"], row["context"], longest, stride))
        for threshold in (-1.0, 0.5):
            lines = common.vkbert_lines(args, *base, "--max-length", longest, "--doc-stride", stride, "--null-threshold",
                                        threshold)
            compare_answers(comparison, lines, rows, lambda row: squad_reference.answer(
                model, tokenizer, row["question"], row["context"], longest, stride, null_threshold=threshold))


def choose(args):
    folder, model, tokenizer = model_of(args, "choices", "BertForMultipleChoice", 27)
    lines = (args.data / "swag/codah_full_data.tsv").read_text(encoding="utf-8").split("\n")[:40]
    rows = [dict(text=fields[1], choices=fields[2:6]) for fields in (line.split("\t") for line in lines if line)]
    comparison = Comparison()
    for line, row in zip(command(args, "choose", folder, rows), rows, strict=True):
        logits = []
        for ending in row["choices"]:
            inputs = {name: value[None] for name, value in common.encode(tokenizer, row["text"], ending).items()}
            with torch.no_grad():
                logits.append(model(**inputs).logits[0, 0].double())
        expected = torch.stack(logits).softmax(-1)
        comparison.same(line["choice"], int(expected.argmax()))
        comparison.close(line["scores"], expected)
    comparison.verdict("choose")


HEADS = {"fill-mask": fill_mask, "next-sentence": next_sentence, "classify": classify, "tag": tag, "answer": answer,
         "choose": choose}


def main():
    options = common.parser(__doc__)
    options.add_argument("--only", nargs="+", choices=list(HEADS), default=list(HEADS))
    options.add_argument("--aggregation", default="first", choices=["simple", "first", "average", "max"],
                         help="how a word's pieces vote (transformers' aggregation_strategy; vkbert's is first)")
    args = common.parse(options)
    for name in args.only:
        HEADS[name](args)


if __name__ == "__main__":
    main()
