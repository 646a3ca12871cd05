#!/usr/bin/env python3
"""Writes gradients.safetensors beside the golden models of generate.py: labels, the loss and the gradient of every
parameter by PyTorch's autograd (float64 from the stored weights, dropout off); everything stored as fp32.

    python tests/golden/generate_gradients.py [--only NAME ...]

Needs torch, transformers, safetensors.
"""

import argparse
import pathlib

import numpy as np
import safetensors.numpy
import torch
import transformers

import generate

HERE = pathlib.Path(__file__).parent
IGNORED = -1


def logits_of(model, ids, types, offsets):
    """Each sequence alone through the model, without padding: a list of outputs."""
    outputs = []
    for begin, end in zip(offsets, offsets[1:]):
        inputs = dict(input_ids=torch.tensor([ids[begin:end]]), token_type_ids=torch.tensor([types[begin:end]]))
        if isinstance(model, transformers.BertForMultipleChoice):
            inputs = {name: value[None] for name, value in inputs.items()}
        outputs.append(model(**inputs))
    return outputs


def classification(model, outputs, offsets, random):
    logits = torch.cat([o.logits for o in outputs])
    labels = random.integers(0, logits.shape[1], len(outputs))
    return torch.nn.functional.cross_entropy(logits, torch.tensor(labels)), dict(labels=labels)


def regression(model, outputs, offsets, random):
    targets = random.normal(size=len(outputs))
    values = torch.cat([o.logits for o in outputs])[:, 0]
    return torch.nn.functional.mse_loss(values, torch.tensor(targets)), dict(targets=targets)


def tagging(model, outputs, offsets, random):
    logits = torch.cat([o.logits[0] for o in outputs])
    labels = random.integers(0, logits.shape[1], len(logits))
    labels[random.random(len(labels)) < 0.3] = IGNORED
    return torch.nn.functional.cross_entropy(logits, torch.tensor(labels), ignore_index=IGNORED), dict(labels=labels)


def masked(model, outputs, offsets, random):
    """A third of the tokens: packed rows, and the words that stood there."""
    logits = torch.cat([o.logits[0] for o in outputs])
    rows = np.flatnonzero(random.random(len(logits)) < 0.33)
    labels = random.integers(0, logits.shape[1], len(rows))
    return torch.nn.functional.cross_entropy(logits[torch.tensor(rows)], torch.tensor(labels)), dict(labels=labels, rows=rows)


def answering(model, outputs, offsets, random):
    """The mean over start and end of the mean over sequences, as in transformers."""
    places = np.array([[random.integers(0, end - begin) for _ in range(2)] for begin, end in zip(offsets, offsets[1:])])
    losses = [torch.nn.functional.cross_entropy(logits, torch.tensor([place]))
              for output, pair in zip(outputs, places)
              for logits, place in zip((output.start_logits, output.end_logits), pair)]
    return sum(losses) / len(losses), dict(labels=places.reshape(-1))


def choosing(model, outputs, offsets, random):
    """Seven sequences: a question of three choices and one of four."""
    logits = torch.cat([o.logits for o in outputs])[:, 0]
    questions, labels = np.array([0, 3, 7]), np.array([2, 1])
    losses = [torch.nn.functional.cross_entropy(logits[None, a:b], torch.tensor([label]))
              for a, b, label in zip(questions, questions[1:], labels)]
    return sum(losses) / len(losses), dict(labels=labels, questions=questions)


LOSSES = {"classification": classification, "regression": regression, "token_classification": tagging,
          "question_answering": answering, "multiple_choice": choosing, "next_sentence": classification,
          "masked_lm": masked}


def write(name):
    folder = HERE / name
    model = getattr(transformers, generate.MODELS[name][0]).from_pretrained(
        folder, dtype=torch.float32, attn_implementation="eager").double().eval()
    inputs = safetensors.numpy.load_file(folder / "expected.safetensors")
    ids, types, offsets = (inputs[key].tolist() for key in ("input_ids", "token_type_ids", "offsets"))
    random = np.random.default_rng(1 + list(LOSSES).index(name))
    loss, labels = LOSSES[name](model, logits_of(model, ids, types, offsets), offsets, random)
    loss.backward()
    tensors = {key: np.asarray(value, np.float32) for key, value in labels.items()}
    tensors["loss"] = np.array([loss.item()], np.float32)
    for parameter, value in model.named_parameters():
        tensors["d " + parameter] = value.grad.to(torch.float32).numpy()
    safetensors.numpy.save_file(tensors, folder / "gradients.safetensors",
                                metadata=dict(torch=torch.__version__, transformers=transformers.__version__))
    print(f"{name}: loss {loss.item():.6f}")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="+", choices=list(LOSSES), default=list(LOSSES))
    for name in parser.parse_args().only:
        write(name)


if __name__ == "__main__":
    main()
