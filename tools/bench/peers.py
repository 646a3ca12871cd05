"""The systems that compare.py measures beside each other, each with the same face: `absent` says why it cannot run here (or is
None), `runs(case)` whether it can do this work, `measure(case)` does it once and answers the samples."""

import dataclasses
import json
import os
import pathlib
import shlex
import shutil
import statistics
import subprocess
import tempfile

import measure

HERE = pathlib.Path(__file__).resolve().parent
SILENCE = 240  # seconds after which a peer that does not answer counts as absent
LLAMA_BATCH = 32  # llama.cpp attends over all tokens of a batch and masks the other sequences: larger batches are slower


@dataclasses.dataclass
class Case:
    """One piece of work. Sequences of several lengths are for vkbert one batch; peers that pad take batches of batch_size."""

    name: str
    precision: str
    lengths: list
    train: bool = False
    batch_size: int = 0
    times: int = 1  # as many repeats as usual, of what is soon done

    @property
    def equal(self):
        return min(self.lengths) == max(self.lengths)

    @property
    def tokens(self):
        return sum(self.lengths)

    def title(self):
        what = f"{len(self.lengths)} x {self.lengths[0]}" if self.equal else f"{len(self.lengths)} of {self.tokens} tokens"
        return f"{self.name} {what} {self.precision}"


class Vkbert:
    name, absent = "vkbert", None

    def __init__(self, args, shape, repeat):
        self.args, self.shape, self.repeat = args, shape, repeat

    def runs(self, _case):
        return True

    def options(self, case, repeat):
        if case.equal:
            work = ["--batch", len(case.lengths), "--length", case.lengths[0]]
        else:
            path = self.args.work / "lengths.txt"
            path.write_text("".join(f"{n}\n" for n in case.lengths))
            work = ["--lengths", path]
        return ["--shape", self.shape, *work, "--precision", case.precision, "--repeat", repeat,
                *(["--train"] if case.train else [])]

    def measure(self, case):
        options = self.options(case, self.repeat * case.times)
        line = measure.bench(self.args, *options)[0]
        return {"command": shlex.join(["vkbert", "bench", *map(str, options)]), "seconds": [line["seconds_per_step"]],
                "fastest": line["fastest_step"], "tokens": line["tokens"],
                "flops": line["flops"], "ceiling_flops_per_second": line["ceiling_flops_per_second"],
                "peak_memory": line["peak_memory"], "variants": line["variants"]}

    def profile(self, case):
        """Every dispatch with its time and rates, and the ceilings that the device reached in the same run."""
        line, table = measure.bench(self.args, *self.options(case, 3), "--profile")
        return {"name": case.title(), "device": line["device"], "driver": line["driver"],
                "ceiling_gflops": line["ceiling_flops_per_second"] * 1e-9,
                "ceiling_gigabytes": line["ceiling_bytes_per_second"] * 1e-9, "dispatches": dispatches(table)}


def dispatches(table):
    """The rows of `vkbert bench --profile`; None is a rate that the plan does not know. Shares of the peak may be missing."""
    lines = iter(table.splitlines())
    heading = next((line for line in lines if line.startswith("dispatch ")), None)
    if heading is None:
        return []
    kernel_at = heading.index(" kernel ") + 1
    rows = []
    for line in lines:
        if line.startswith("total ") or len(line) < kernel_at:
            break
        op, variant, calls, milliseconds, share, *rates = line[kernel_at:].split()
        gflops, gigabytes = (None if rate == "-" else float(rate) for rate in rates[::2 if len(rates) == 4 else 1])
        rows.append({"label": line[:kernel_at].strip(), "op": op, "variant": variant, "calls": int(calls),
                     "milliseconds": float(milliseconds), "percent": float(share), "gflops": gflops, "gigabytes": gigabytes})
    return rows


class Llama:
    """llama.cpp through llama_bench.c; it takes batches of equal lengths and does not train."""

    def __init__(self, args, backend, models, kind, repeat, cpu_driver):
        self.name = {"vk": "llama.cpp Vulkan", "cpu": "llama.cpp CPU"}[backend]
        self.backend, self.repeat, self.models, self.kind = backend, repeat, models, kind
        self.settings = measure.LLAMA_SETTINGS if cpu_driver and backend == "vk" else {}
        self.command = args.llama_command or self.found()
        self.absent = "no llama_bench (tools/bench/peers_setup)" if not self.command else self.trial()

    @staticmethod
    def found():
        lab = pathlib.Path(os.environ.get("VKBERT_LAB") or
                           pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache") / "vkbert/lab")
        if (lab / "sid/opt/peers/llama_bench").exists():
            return [str(HERE / "peers_run")]
        beside = measure.PEERS / "llama_bench"
        return [str(beside)] if beside.exists() else [found] if (found := shutil.which("llama_bench")) else None

    def trial(self):
        try:
            self.encode(1, 8, 1)
        except (OSError, RuntimeError, ValueError, subprocess.TimeoutExpired) as error:
            return str(error).strip()[:200] or type(error).__name__
        return None

    def encode(self, batch, length, repeat):
        command = [*self.command, self.models.format(self.kind), self.backend, batch, length, repeat,
                   len(os.sched_getaffinity(0))]
        result = subprocess.run([str(part) for part in command], env={**os.environ, **self.settings}, timeout=SILENCE,
                                stdin=subprocess.DEVNULL, capture_output=True, text=True)
        if result.returncode:
            raise RuntimeError(result.stderr.strip()[-200:] or f"exit code {result.returncode}")
        return json.loads(result.stdout[result.stdout.index("{"):])

    def runs(self, case):
        return case.equal and not case.train

    def measure(self, case):
        batch, length = min(len(case.lengths), LLAMA_BATCH), case.lengths[0]
        line = self.encode(batch, length, self.repeat * case.times)
        return {"command": f"llama_bench {self.models.format(self.kind)} {self.backend} {batch} {length}",
                "seconds": [line["seconds_per_step"]], "fastest": line["fastest"], "tokens": batch * length}


class LinePeer:
    """A long-lived process that answers one JSON line to each (torch_peer.py, onnx_peer.py)."""

    def __init__(self, name, command, shape, precision, repeat, trains):
        self.name, self.repeat, self.trains, self.process, self.about = name, repeat, trains, None, {}
        self.errors = tempfile.TemporaryFile("w+")
        try:
            self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self.errors,
                                            text=True)
            self.about = self.ask({"command": "open", "shape": shape, "precision": precision})
            self.absent = None
        except (OSError, RuntimeError) as error:
            self.absent = str(error)

    def ask(self, request):
        try:
            self.process.stdin.write(json.dumps(request) + "\n")
            self.process.stdin.flush()
            answer = self.process.stdout.readline()
        except BrokenPipeError:
            answer = ""
        if not answer:
            self.process.wait()
            self.errors.seek(0)
            raise RuntimeError((self.errors.read().strip().splitlines() or ["it ended without an answer"])[-1])
        answer = json.loads(answer)
        if "error" in answer:
            raise RuntimeError(answer["error"])
        return answer

    def runs(self, case):
        return self.trains or not case.train

    def measure(self, case):
        request = {"command": "train" if case.train else "forward", "lengths": case.lengths,
                   "repeat": self.repeat * case.times}
        if not case.train:
            request["batch_size"] = case.batch_size or len(case.lengths)
        answer = self.ask(request)
        return {"command": request["command"], **answer, "fastest": min(answer["seconds"])}

    def close(self):
        if self.process and self.process.poll() is None:
            self.process.stdin.close()
            try:
                self.process.wait(10)
            except subprocess.TimeoutExpired:
                self.process.kill()


def rate(sample):
    """Tokens a second, padding not counted."""
    return sample["tokens"] / statistics.median(sample["seconds"])
