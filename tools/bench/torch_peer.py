#!/usr/bin/env python3
"""A BERT in PyTorch that compare.py times beside vkbert. One process for the whole run: it reads one JSON command a line on
standard input and answers each with one JSON line, so that building the model is outside of what is timed.

    {"command": "open", "shape": [12, 768, 12, 3072], "device": "auto", "precision": "fp32", "dropout": 0}
    {"command": "forward", "lengths": [128, 128], "batch_size": 32, "warm_up": 2, "repeat": 3}
    {"command": "train", "lengths": [128, 128], "warm_up": 2, "repeat": 3}

`device` is cpu, cuda or auto; with fp16 the forward pass runs a half model and training automatic mixed precision. Sequences
of several lengths are sorted and padded to the longest of each batch of `batch_size`, the usual way. Answers hold "seconds" of
every timed pass over all sequences, from ids in host memory to pooled vectors (or the loss) there, "tokens" without padding
and "padded_tokens", or "error".
"""

import json
import math
import os
import sys
import time

import torch
import torch.nn.functional as F
from torch import nn

VOCABULARY, POSITIONS, CLASSES = 30522, 512, 2


def attention(q, k, v, mask, dropout):
    if hasattr(F, "scaled_dot_product_attention"):
        return F.scaled_dot_product_attention(q, k, v, attn_mask=mask, dropout_p=dropout)
    scores = q @ k.transpose(-1, -2) / math.sqrt(q.shape[-1])
    if mask is not None:
        scores = scores.masked_fill(~mask, torch.finfo(scores.dtype).min)
    return F.dropout(scores.softmax(-1), dropout) @ v


class Layer(nn.Module):
    def __init__(self, hidden, heads, intermediate, dropout):
        super().__init__()
        self.heads, self.dropout = heads, dropout
        self.qkv, self.projection = nn.Linear(hidden, 3 * hidden), nn.Linear(hidden, hidden)
        self.up, self.down = nn.Linear(hidden, intermediate), nn.Linear(intermediate, hidden)
        self.norm1, self.norm2 = nn.LayerNorm(hidden, eps=1e-12), nn.LayerNorm(hidden, eps=1e-12)

    def forward(self, x, mask):
        sequences, length, hidden = x.shape
        dropout = self.dropout if self.training else 0.0
        q, k, v = self.qkv(x).view(sequences, length, 3, self.heads, hidden // self.heads).permute(2, 0, 3, 1, 4)
        context = attention(q, k, v, mask, dropout).transpose(1, 2).reshape(sequences, length, hidden)
        x = self.norm1(x + F.dropout(self.projection(context), dropout))
        return self.norm2(x + F.dropout(self.down(F.gelu(self.up(x))), dropout))


class Bert(nn.Module):
    def __init__(self, layers, hidden, heads, intermediate, dropout=0.0):
        super().__init__()
        self.words, self.positions = nn.Embedding(VOCABULARY, hidden), nn.Embedding(POSITIONS, hidden)
        self.types, self.norm = nn.Embedding(2, hidden), nn.LayerNorm(hidden, eps=1e-12)
        self.dropout = nn.Dropout(dropout)
        self.layers = nn.ModuleList(Layer(hidden, heads, intermediate, dropout) for _ in range(layers))
        self.pooler, self.classifier = nn.Linear(hidden, hidden), nn.Linear(hidden, CLASSES)
        for parameter in self.parameters():
            if parameter.dim() > 1:
                nn.init.normal_(parameter, std=0.02)

    def forward(self, ids, mask=None):
        """Hidden states; mask is true where there is a token."""
        at = torch.arange(ids.shape[1], device=ids.device)
        x = self.dropout(self.norm(self.words(ids) + self.positions(at) + self.types(torch.zeros_like(ids))))
        keys = None if mask is None else mask[:, None, None, :]
        for layer in self.layers:
            x = layer(x, keys)
        return x

    def pooled(self, ids, mask=None):
        """Mean over the tokens of each sequence."""
        x = self(ids, mask)
        if mask is None:
            return x.mean(1)
        weights = mask.to(x.dtype)[..., None]
        return (x * weights).sum(1) / weights.sum(1)

    def logits(self, ids, mask=None):
        return self.classifier(torch.tanh(self.pooler(self(ids, mask)[:, 0])))


def padded_batches(lengths, batch_size):
    """[(ids, mask or None)]: sorted by length, each batch padded to its longest."""
    generator = torch.Generator().manual_seed(0)
    ordered = sorted(lengths, reverse=True)
    batches = []
    for begin in range(0, len(ordered), batch_size):
        part = torch.tensor(ordered[begin:begin + batch_size])
        ids = torch.randint(VOCABULARY, (len(part), int(part[0])), generator=generator)
        mask = torch.arange(ids.shape[1]) < part[:, None]
        batches.append((ids, None if bool(mask.all()) else mask))
    return batches


def timed(step, batches, lengths, warm_up, repeat):
    """The answer to a command: seconds of each pass over all batches."""
    seconds = []
    for index in range(warm_up + repeat):
        begin = time.perf_counter()
        for ids, mask in batches:
            step(ids, mask)
        if index >= warm_up:
            seconds.append(time.perf_counter() - begin)
    return {"seconds": seconds, "tokens": sum(lengths), "padded_tokens": sum(ids.numel() for ids, _ in batches)}


class Peer:
    def __init__(self):
        self.model = self.optimizer = None

    def open(self, shape, device="auto", precision="fp32", dropout=0):
        torch.manual_seed(0)
        torch.set_num_threads(len(os.sched_getaffinity(0)))
        if device == "auto":
            device = "cuda" if torch.cuda.is_available() else "cpu"
        self.device, self.half = torch.device(device), precision == "fp16"
        self.model, self.optimizer = Bert(*shape, dropout).to(self.device), None
        self.halved = False
        name = torch.cuda.get_device_name() if self.device.type == "cuda" else f"CPU, {torch.get_num_threads()} threads"
        return {"system": f"PyTorch {torch.__version__}", "device": name, "precision": precision, "dropout": dropout}

    def send(self, tensor):
        return None if tensor is None else tensor.to(self.device, non_blocking=True)

    def forward(self, lengths, batch_size=0, warm_up=2, repeat=3):
        self.model.eval()
        if self.half and not self.halved:
            self.model.half()
            self.halved = True

        def step(ids, mask):
            with torch.inference_mode():
                self.model.pooled(self.send(ids), self.send(mask)).float().cpu()

        return timed(step, padded_batches(lengths, batch_size or len(lengths)), lengths, warm_up, repeat)

    def train(self, lengths, warm_up=2, repeat=3):
        """AdamW with cross entropy; weights and moments stay fp32."""
        if self.halved:
            self.model.float()
            self.halved, self.optimizer = False, None
        self.model.train()
        cuda = self.device.type == "cuda"
        if self.optimizer is None:
            self.optimizer = torch.optim.AdamW(self.model.parameters(), lr=1e-5, **({"fused": True} if cuda else {}))
            scaler = getattr(torch.amp, "GradScaler", torch.cuda.amp.GradScaler)  # before 2.3 only the latter
            self.scaler = scaler(enabled=self.half and cuda)

        def step(ids, mask):
            labels = self.send(torch.arange(len(ids)) % CLASSES)
            self.optimizer.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, torch.float16 if cuda else torch.bfloat16, enabled=self.half):
                loss = F.cross_entropy(self.model.logits(self.send(ids), self.send(mask)).float(), labels)
            self.scaler.scale(loss).backward()
            self.scaler.step(self.optimizer)
            self.scaler.update()
            loss.item()
            if cuda:
                torch.cuda.synchronize()

        return timed(step, padded_batches(lengths, len(lengths)), lengths, warm_up, repeat)


def serve(peer, commands):
    """Answers each line of standard input by the method of that name."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print must not come between the answers
    for line in sys.stdin:
        request = json.loads(line)
        try:
            name = request.pop("command")
            if name not in commands:
                raise ValueError(f"no command {name}")
            answer = getattr(peer, name)(**request)
        except Exception as error:  # out of memory, no such device: the caller goes on without us
            answer = {"error": f"{type(error).__name__}: {error}"[:500]}
        print(json.dumps(answer), file=answers, flush=True)


if __name__ == "__main__":
    serve(Peer(), ("open", "forward", "train"))
