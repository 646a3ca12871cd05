#!/usr/bin/env python3
"""Writes metrics.json: 1,000 random predictions of each kind with the scores of scikit-learn, scipy and seqeval, and of
SQuAD's two official scripts. Those two are written anew here from their rules; with --squad1 evaluate-v1.1.py and --squad2
evaluate-v2.0.py the official scripts are run too and must agree. Likewise --conlleval conlleval.pl.

Made with scikit-learn 1.9.1, scipy 1.17.1, seqeval 1.2.2: tests/golden/generate_metrics.py
"""

import argparse
import collections
import json
import pathlib
import random
import re
import string
import subprocess
import sys
import tempfile
import warnings

import scipy.stats
import sklearn.metrics
from seqeval.metrics import f1_score, precision_score, recall_score

COUNT = 1000
WORDS = ["the", "a", "an", "The", "of", "in", "Paris", "paris,", "Café", "CAFÉ", "1066", "10th", "century", "(Normans)",
         "the-", "\"An", "U.S.", "theory", "Ärger", "Москва", "МОСКВА", "東京", "$5", "—", "a.", "\u00a0", "İzmir", "x\u3000y"]


def noisy(random_numbers, truth, classes, right):
    return [t if random_numbers.random() < right else random_numbers.randrange(classes) for t in truth]


def classification(random_numbers, classes, right):
    truth = [random_numbers.randrange(classes) for _ in range(COUNT)]
    predicted = noisy(random_numbers, truth, classes, right)
    scores = dict(accuracy=sklearn.metrics.accuracy_score(truth, predicted),
                  matthews=sklearn.metrics.matthews_corrcoef(truth, predicted))
    if classes == 2:
        scores["f1"] = sklearn.metrics.f1_score(truth, predicted)
    return dict(predicted=predicted, truth=truth, scores=scores,
                confusion=sklearn.metrics.confusion_matrix(truth, predicted).ravel().tolist())


def regression(random_numbers, digits):
    truth = [round(random_numbers.uniform(0, 5), digits) for _ in range(COUNT)]
    predicted = [round(0.7 * t + random_numbers.gauss(0, 1), digits) for t in truth]
    return dict(predicted=predicted, truth=truth,
                scores=dict(pearson=scipy.stats.pearsonr(predicted, truth).statistic,
                            spearman=scipy.stats.spearmanr(predicted, truth).statistic))


def tags(random_numbers, scheme):
    """Legal and illegal sequences alike: predictions need not keep to a scheme."""
    labels = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"] if scheme == "bio" else ["O", "I-PER", "B-PER", "I-LOC", "B-LOC"]
    weights = [4, 2, 3, 2, 3] if scheme == "bio" else [4, 4, 1, 4, 1]
    truth, predicted = [], []
    for _ in range(COUNT):
        words = random_numbers.randrange(1, 12)
        truth.append(random_numbers.choices(range(5), weights, k=words))
        predicted.append(noisy(random_numbers, truth[-1], 5, 0.7))

    def named(sentences):
        return [[labels[tag] for tag in sentence] for sentence in sentences]

    return dict(labels=labels, predicted=predicted, truth=truth,
                scores=dict(precision=precision_score(named(truth), named(predicted)),
                            recall=recall_score(named(truth), named(predicted)), f1=f1_score(named(truth), named(predicted))))


def normalize(text):
    text = "".join(c for c in text.lower() if c not in string.punctuation)
    return re.sub(r"\b(?:a|an|the)\b", " ", text).split()


def overlap(prediction, answer, second):
    if second and (not prediction or not answer):
        return float(prediction == answer)
    same = sum((collections.Counter(prediction) & collections.Counter(answer)).values())
    if same == 0:
        return 0.0
    precision, recall = same / len(prediction), same / len(answer)
    return 2 * precision * recall / (precision + recall)


def squad_question(random_numbers, second):
    def phrase():
        return " ".join(random_numbers.choices(WORDS, k=random_numbers.randrange(1, 6)))

    impossible = second and random_numbers.random() < 0.4
    answers = [] if impossible else [phrase() for _ in range(random_numbers.randrange(1, 4))]
    kind = random_numbers.random()
    if answers and kind < 0.4:
        prediction = random_numbers.choice(answers).upper()
    elif answers and kind < 0.7:
        words = random_numbers.choice(answers).split(" ")
        prediction = " ".join(words[:random_numbers.randrange(1, len(words) + 1)] + random_numbers.choices(WORDS, k=1))
    elif second and kind > 0.9:
        prediction = ""
    else:
        prediction = phrase()
    no_answer = round(random_numbers.gauss(1.5 if impossible else -1.5, 2), 1)  # one digit: ties
    return dict(answers=answers, prediction=prediction, no_answer=no_answer)


def squad1(questions):
    exact = [max(float(normalize(q["prediction"]) == normalize(a)) for a in q["answers"]) for q in questions]
    f1 = [max(overlap(normalize(q["prediction"]), normalize(a), False) for a in q["answers"]) for q in questions]
    return dict(exact_match=100 * sum(exact) / len(exact), f1=100 * sum(f1) / len(f1))


def best_threshold(questions, scores):
    """Starts where nothing is answered; each question answered, by rising no_answer, adds what it brings."""
    current = best = sum(not q["answers"] for q in questions)
    threshold = 0.0
    for q, score in sorted(zip(questions, scores), key=lambda pair: pair[0]["no_answer"]):
        current += score if q["answers"] else -1 if q["prediction"] else 0
        if current > best:
            best, threshold = current, q["no_answer"]
    return 100 * best / len(questions), threshold


def squad2(questions, threshold):
    exact, f1 = [], []
    for q in questions:
        prediction = normalize(q["prediction"])
        answers = [words for words in map(normalize, q["answers"]) if words] or [[]]
        exact.append(max(float(prediction == answer) for answer in answers))
        f1.append(max(overlap(prediction, answer, True) for answer in answers))

    def mean(scores, part, name):
        values = [float(not q["answers"]) if q["no_answer"] > threshold else score
                  for q, score in zip(questions, scores) if part is None or bool(q["answers"]) == part]
        return {name: 100 * sum(values) / len(values)}

    result = {**mean(exact, None, "exact"), **mean(f1, None, "f1"), "total": len(questions)}
    for part, name in ((True, "HasAns"), (False, "NoAns")):
        count = sum(bool(q["answers"]) == part for q in questions)
        result |= {**mean(exact, part, name + "_exact"), **mean(f1, part, name + "_f1"), name + "_total": count}
    for name, scores in (("best_exact", exact), ("best_f1", f1)):
        result[name], result[name + "_thresh"] = best_threshold(questions, scores)
    return result


def compare(name, ours, official):
    for key, value in official.items():
        if abs(ours[key] - value) > 1e-12 * max(1, abs(value)):
            sys.exit(f"{name}: {key} is {ours[key]!r} here and {value!r} in the official script")
    print(f"{name}: {len(official)} scores equal the official script's")


def run_squad(script, questions, scores, second, threshold=0.0):
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        qas = [dict(id=str(i), question="?", answers=[dict(text=a, answer_start=0) for a in q["answers"]])
               for i, q in enumerate(questions)]
        data = dict(version="1.1", data=[dict(title="t", paragraphs=[dict(context="", qas=qas)])])
        (folder / "data.json").write_text(json.dumps(data))
        (folder / "predictions.json").write_text(json.dumps({str(i): q["prediction"] for i, q in enumerate(questions)}))
        (folder / "null.json").write_text(json.dumps({str(i): q["no_answer"] for i, q in enumerate(questions)}))
        command = [sys.executable, script, folder / "data.json", folder / "predictions.json"]
        if second:
            command += ["--na-prob-file", folder / "null.json", "--na-prob-thresh", str(threshold)]
        output = subprocess.run(command, capture_output=True, text=True, check=True).stdout
        compare(script, scores, json.loads(output))


def run_conlleval(script, case):
    lines = []
    for truth, predicted in zip(case["truth"], case["predicted"]):
        lines += [f"w {case['labels'][t]} {case['labels'][p]}" for t, p in zip(truth, predicted)] + [""]
    output = subprocess.run(["perl", script], input="\n".join(lines) + "\n", capture_output=True, text=True, check=True).stdout
    figures = re.search(r"precision:\s*([\d.]+)%; recall:\s*([\d.]+)%; FB1:\s*([\d.]+)", output).groups()
    for name, figure in zip(("precision", "recall", "f1"), figures):
        if abs(100 * case["scores"][name] - float(figure)) > 0.00501:
            sys.exit(f"conlleval: {name} is {figure}, seqeval's {case['scores'][name]}")
    print(f"conlleval: {figures} are seqeval's")


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--squad1", help="the official evaluate-v1.1.py")
    options.add_argument("--squad2", help="the official evaluate-v2.0.py")
    options.add_argument("--conlleval", help="the official conlleval.pl")
    args = options.parse_args()
    warnings.simplefilter("error")
    random_numbers = random.Random(1)
    cases = dict(
        classification=[classification(random_numbers, 2, 0.6), classification(random_numbers, 4, 0.5)],
        regression=[regression(random_numbers, 1), regression(random_numbers, 4)],
        tags=[tags(random_numbers, "bio"), tags(random_numbers, "iob1")])
    first = [squad_question(random_numbers, False) for _ in range(COUNT)]
    second = [squad_question(random_numbers, True) for _ in range(COUNT)]
    threshold = 0.5
    cases["squad1"] = dict(questions=first, scores=squad1(first))
    cases["squad2"] = dict(questions=second, threshold=threshold, scores=squad2(second, threshold))
    if args.squad1:
        run_squad(args.squad1, first, cases["squad1"]["scores"], False)
    if args.squad2:
        run_squad(args.squad2, second, cases["squad2"]["scores"], True, threshold)
    if args.conlleval:
        for case in cases["tags"]:
            run_conlleval(args.conlleval, case)
    target = pathlib.Path(__file__).with_name("metrics.json")
    target.write_text(json.dumps(cases, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
