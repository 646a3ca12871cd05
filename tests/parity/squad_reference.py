"""Question answering as transformers' examples do it (run_qa.py): windows of the context, and the best spans over all of a
question's windows. Written from its description; the reference of heads_parity.py."""

import numpy as np
import torch


def windows(tokenizer, question, context, longest, stride):
    """Windows [CLS] question [SEP] part of the context [SEP]; neighbours share `stride` tokens of the context."""
    return tokenizer(question, context, truncation="only_second", max_length=longest, stride=stride,
                     return_overflowing_tokens=True, return_offsets_mapping=True)


def candidates(model, tokenizer, question, context, longest, stride, n_best, longest_answer):
    """(spans, null score): spans are (start + end logit, begin, end) in code points of the context."""
    encoded = windows(tokenizer, question, context, longest, stride)
    spans, null = [], np.inf
    for i, ids in enumerate(encoded["input_ids"]):
        inputs = dict(input_ids=torch.tensor([ids]), token_type_ids=torch.tensor([encoded["token_type_ids"][i]]))
        with torch.no_grad():
            output = model(**inputs)
        start, end = output.start_logits[0].double().numpy(), output.end_logits[0].double().numpy()
        null = min(null, start[0] + end[0])
        allowed = [part == 1 for part in encoded.sequence_ids(i)]
        offsets = encoded["offset_mapping"][i]
        for s in np.argsort(-start, kind="stable")[:n_best]:
            for e in np.argsort(-end, kind="stable")[:n_best]:
                if allowed[s] and allowed[e] and s <= e < s + longest_answer:
                    spans.append((start[s] + end[e], offsets[s][0], offsets[e][1]))
    return sorted(spans, key=lambda span: -span[0])[:n_best], null


def answer(model, tokenizer, question, context, longest=384, stride=128, n_best=20, longest_answer=30, null_threshold=None):
    """{"answer", "begin", "end", "score", "margin"}: score is the softmax over the n best spans, and the null answer where
    a threshold is given (SQuAD 2.0: no answer when null - best span exceeds it). margin: distance to a different answer."""
    spans, null = candidates(model, tokenizer, question, context, longest, stride, n_best, longest_answer)
    with_null = null_threshold is not None
    scores = np.array([span[0] for span in spans] + ([null] if with_null else []))
    probabilities = np.exp(scores - scores.max())
    probabilities /= probabilities.sum()
    best, begin, end = spans[0] if spans else (-np.inf, 0, 0)
    others = [span[0] for span in spans if span[1:] != (begin, end)]
    margin = best - max(others, default=-np.inf)
    if with_null:
        margin = min(margin, abs(null - best - null_threshold))
    if with_null and (not spans or null - best > null_threshold):
        return dict(answer="", begin=0, end=0, score=float(probabilities[-1]), margin=margin)
    return dict(answer=context[begin:end], begin=begin, end=end, score=float(probabilities[0]), margin=margin)
