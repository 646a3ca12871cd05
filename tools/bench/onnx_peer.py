#!/usr/bin/env python3
"""torch_peer.py's model in ONNX Runtime: exported once with free sizes (torch.onnx, which needs onnx and onnxscript), then run.
The same commands as there, without `train`.

It runs on CUDA where the runtime has it, else on the CPU, with one thread a processor; with fp16 the exported model is a half.
"""

import os
import tempfile

import onnxruntime
import torch

import torch_peer


class Pooled(torch.nn.Module):
    """What is exported: mean-pooled vectors; the mask is always there."""

    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, ids, mask):
        return self.model.pooled(ids, mask)


class Peer:
    def open(self, shape, device="auto", precision="fp32"):
        providers = ["CPUExecutionProvider"]
        if device != "cpu" and "CUDAExecutionProvider" in onnxruntime.get_available_providers():
            providers.insert(0, "CUDAExecutionProvider")
        torch.manual_seed(0)
        model = Pooled(torch_peer.Bert(*shape)).eval()
        if precision == "fp16":
            model.half()
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = len(os.sched_getaffinity(0))
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, "bert.onnx")
            sizes = {0: torch.export.Dim.AUTO, 1: torch.export.Dim.AUTO}
            with torch.inference_mode():
                torch.onnx.export(model, (torch.ones(2, 16, dtype=torch.long), torch.ones(2, 16, dtype=torch.bool)), path,
                                  input_names=["ids", "mask"], output_names=["pooled"], dynamo=True, verbose=False,
                                  dynamic_shapes={"ids": sizes, "mask": sizes})
            self.session = onnxruntime.InferenceSession(path, options, providers=providers)
        return {"system": f"ONNX Runtime {onnxruntime.__version__}", "device": self.session.get_providers()[0],
                "precision": precision, "dropout": 0}

    def forward(self, lengths, batch_size=0, warm_up=2, repeat=3):
        def step(ids, mask):
            mask = torch.ones_like(ids, dtype=torch.bool) if mask is None else mask
            self.session.run(None, {"ids": ids.numpy(), "mask": mask.numpy()})

        return torch_peer.timed(step, torch_peer.padded_batches(lengths, batch_size or len(lengths)), lengths, warm_up, repeat)


if __name__ == "__main__":
    torch_peer.serve(Peer(), ("open", "forward"))
