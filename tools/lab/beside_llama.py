#!/usr/bin/env python3
"""Writes BESIDE_LLAMA.md from what tools/lab/beside_llama watched: per device the inner loops of our kernels and llama.cpp's.

    beside_llama.py [--version TEXT] FOLDER DEVICE...

Exit code 1 if a loop does not hold the multiply-adds that its tile implies: then the loop was not read rightly.
"""
import argparse
import collections
import json
import os
import re
import sys
from dataclasses import dataclass

import issue_model
import shader_code
from beside_llama_text import page

USES = [  # (title, our op, our use, what llama.cpp's pipeline is called, its runs: same arithmetic, its own choice)
    ("matmul fp32, 2,304 and 3,072 columns", "matmul", "qkv fp32, 1024 tokens", "matmul_", ("fp32", "default32")),
    ("matmul fp32, 768 columns", "matmul", "projection fp32, 1024 tokens", "matmul_", ("fp32", "default32")),
    ("matmul fp16, 2,304 and 3,072 columns", "matmul", "qkv fp16, 1024 tokens", "matmul_", ("fp16", "default16")),
    ("matmul fp16, 768 columns", "matmul", "projection fp16, 1024 tokens", "matmul_", ("fp16", "default16")),
    ("attention fp32", "attention_forward", "fp32, head size 64, 1024 tokens", "flash_attn", ("fp32", "default32")),
    ("attention fp16", "attention_forward", "fp16, head size 64, 1024 tokens", "flash_attn", ("fp16", "default16")),
]
HEAD = 64


class Misread(Exception):
    """A loop does not hold what its tile implies."""


@dataclass
class Work:
    """What one turn of a loop must do, of the workgroup. Phases: multiply-adds one loop after the other, where a kernel has an
    inner loop for each. copies: turns of an inner loop without any."""
    phases: list
    copies: int = 0
    extra: float = 0            # other multiply-adds that there may be (softmax), as a share


@dataclass
class Kernel:
    name: str
    pipeline: shader_code.Pipeline
    work: Work

    @property
    def executable(self):
        return self.pipeline.executables[-1]

    def number(self, field):
        """Of the NIR that every driver prints: "shared_size: 17408", "workgroup_size: 256, 1, 1"."""
        for name, lines in self.executable.representations.items():
            if "NIR" in name:
                for line in lines:
                    if line.startswith(field + ":"):
                        return int(re.search(r"\d+", line)[0])
        return 0


# ---- What the tiles imply --------------------------------------------------------------------------------------------------

def our_work(op, variant, c):
    """By the specialization constants of shaders/matmul_*.comp and attention_forward*.comp."""
    if op == "matmul":                              # threads, rows, columns, depth of a tile
        return Work([c[1] * c[2] * c[3]])
    keys = c[5]
    if variant.startswith("matrix"):
        return Work([64 * keys * HEAD * 2])         # 64 rows a workgroup
    # 16 rows of 64 threads: scores, then values; blocks of both come by vec4
    return Work([16 * keys * HEAD] * 2, copies=keys * HEAD // 4 // 64, extra=0.1)


def llama_work(name, c):
    """By the constants of mul_mm.comp (its depth of a tile is 32 in these builds, whatever constant 3 says: shared memory is
    that of 32) and of flash_attn_base.glsl."""
    if name.startswith("matmul"):
        return Work([c[1] * c[2] * 32])
    return Work([c[1] * c[2] * (c[3] + c[4])], extra=0.15)


# ---- One turn of the loop --------------------------------------------------------------------------------------------------

@dataclass
class Turn:
    pipes: collections.Counter
    kinds: collections.Counter      # multiply-adds of a subgroup by kind
    multiplies: int = 0
    instructions: int = 0
    delays: int = 0                 # NAK's own: cycles until the next instruction

    @property
    def multiply_adds(self):
        """Matrices, where there are any: what is beside them is softmax and conversion."""
        matrices = sum(n for kind, n in self.kinds.items() if "matrices" in kind)
        return matrices or sum(self.kinds.values())

    def add(self, other, times=1):
        for name in other.pipes:
            self.pipes[name] += times * other.pipes[name]
        for name in other.kinds:
            self.kinds[name] += times * other.kinds[name]
        self.multiplies += times * other.multiplies
        self.instructions += times * other.instructions
        self.delays += times * other.delays


def straight(machine, blocks, places, lanes):
    turn = Turn(collections.Counter(), collections.Counter())
    for place in places:
        for text in blocks[place].instructions:
            one = issue_model.cost(machine, text, lanes)
            turn.pipes.update(one.pipes)
            turn.multiplies += one.multiplies
            turn.instructions += 1
            delay = re.search(r"delay=(\d+)", text)
            turn.delays += int(delay[1]) if delay else 0
            if one.multiply_adds:
                turn.kinds[one.kind] += one.multiply_adds
    return turn


def whole_turns(wanted, there, what):
    if there == 0 or wanted % there:
        raise Misread(f"{what}: {there} multiply-adds a turn, {wanted} wanted")
    return wanted // there


def one_turn(machine, blocks, loop, lanes, work, share):
    """The loop once; share: threads of a subgroup of those of the workgroup. Turns of inner loops follow from the work: each that
    multiplies and adds does the next phase (the last first turn may stand before it), others copy."""
    path = shader_code.longest_path(blocks, loop)
    total = straight(machine, blocks, [node for node in path if isinstance(node, int)], lanes)
    phases = [int(phase * share) for phase in work.phases]
    before = total.multiply_adds if len(phases) == 1 else 0      # turns that the compiler took out of the inner loop
    for child in (node for node in path if not isinstance(node, int)):
        inside = straight(machine, blocks, [b for b in shader_code.longest_path(blocks, child) if isinstance(b, int)], lanes)
        for grandchild in child.children:
            step = straight(machine, blocks, [b for b in shader_code.longest_path(blocks, grandchild) if isinstance(b, int)], lanes)
            inside.add(step)
        if inside.multiply_adds == 0:
            total.add(inside, work.copies or 1)
            continue
        wanted = phases.pop(0) - before
        count = inside.multiply_adds
        if count and wanted % count and work.extra:
            count += inside.multiplies                           # products that begin a dot product
        total.add(inside, whole_turns(wanted, count, "inner loop"))
    return total


def hottest(machine, blocks, lanes):
    def held(loop):
        return straight(machine, blocks, loop.blocks, lanes).multiply_adds
    loops = shader_code.loops_of(blocks)
    if not loops:
        raise Misread("no loop")
    return max(loops, key=held)


def compilers_cycles(machine, blocks, loop, executable, lanes, turn, wanted):
    """The compiler's own estimate, as cycles per 1,024 multiply-adds: NAK's delays along the loop; else its cycles of the whole
    program over its multiply-adds, where both count loops as RADV (8 turns) and brw (10 turns) do; None with inner loops."""
    if machine.vendor == "nvidia":
        return 1024 * turn.delays / wanted
    if loop.children:
        return None
    weight, depth = (8, [0] * len(blocks)) if machine.vendor == "amd" else (10, [0] * len(blocks))

    def deepen(loop):
        for place in loop.blocks:
            depth[place] += 1
        for child in loop.children:
            deepen(child)
    for loop in shader_code.loops_of(blocks):
        deepen(loop)
    weighted = 0
    for place in range(len(blocks)):
        part = straight(machine, blocks, [place], lanes)
        matrices = sum(n for kind, n in part.kinds.items() if "matrices" in kind)
        alone = matrices if any("matrices" in kind for kind in turn.kinds) else part.multiply_adds
        weighted += weight ** depth[place] * alone
    statistics = executable.statistics
    if machine.vendor == "amd":                     # of 64 lanes, at its occupancy
        return 1024 * statistics["Inverse Throughput"] * (lanes / 64) / weighted
    return 1024 * statistics["Cycle Count"] / weighted


# ---- One kernel on one device ----------------------------------------------------------------------------------------------

@dataclass
class Result:
    kernel: str
    arithmetic: str
    cycles: float               # per 1,024 multiply-adds, on the busiest pipe
    busiest: str
    pipes: dict                 # the same on each
    instructions: float         # of a subgroup, per 1,024 multiply-adds
    multiply_adds: int          # of a subgroup in one turn of the loop, counted and implied alike
    compiler: float             # its own estimate per 1,024 multiply-adds, or None
    spills: int
    registers: int
    shared: int
    threads: int
    lanes: int
    occupancy: tuple


def measure(device, kernel):
    machine = issue_model.MACHINES[device]
    executable = kernel.executable
    lanes, threads = executable.subgroup, kernel.number("workgroup_size")
    blocks = shader_code.blocks_of(machine.vendor, executable)
    loop = hottest(machine, blocks, lanes)
    turn = one_turn(machine, blocks, loop, lanes, kernel.work, lanes / threads)
    wanted = sum(kernel.work.phases) * lanes / threads
    counted = turn.multiply_adds
    if not any("matrices" in kind for kind in turn.kinds) and counted < wanted and kernel.work.extra:
        counted += turn.multiplies
    if not wanted <= counted <= wanted * (1 + kernel.work.extra):
        raise Misread(f"{device} {kernel.name}: {counted} multiply-adds in a turn, its tile implies {wanted}")
    main = [kind for kind, n in turn.kinds.items() if n >= wanted / 8]
    matrices = [kind for kind in main if "matrices" in kind]
    pipes = {name: 1024 * cycles / wanted for name, cycles in turn.pipes.items()}
    busiest = max(pipes, key=pipes.get)
    statistics = executable.statistics
    spilled = ("Spilled SGPRs", "Spilled VGPRs", "Spill Count", "Fill Count", "Spills to memory", "Fills from memory")
    shared = int(statistics.get("LDS size", statistics.get("Workgroup Memory Size", kernel.number("shared_size"))))
    return Result(kernel.name, " and ".join(sorted(matrices or main)), pipes[busiest], busiest, pipes,
                  1024 * turn.instructions / wanted, int(wanted), compilers_cycles(machine, blocks, loop, executable, lanes, turn,
                                                                              wanted),
                  int(sum(statistics.get(name, 0) for name in spilled)),
                  int(statistics.get("VGPRs", statistics.get("Max live registers", statistics.get("Number of GPRs", 0)))),
                  shared, threads, lanes, issue_model.occupancy(device, statistics, lanes, threads, shared))


def our_kernel(folder, op, use):
    """The variant that the device chose for a use; rows of one pipeline follow one another, in the order of the dumps."""
    with open(os.path.join(folder, f"ours-{op}", "rows.json"), encoding="utf-8") as file:
        rows = json.load(file)
    order = []
    for row in rows:
        key = row["op"], row["variant"], row["use"]
        if not order or order[-1][:3] != key:
            order.append((*key, row["chosen"]))
    dumps = [name for name in os.listdir(os.path.join(folder, f"ours-{op}")) if re.fullmatch(r"\d+\.txt", name)]
    if len(dumps) != len(order):
        raise Misread(f"{folder}: {len(dumps)} pipelines, {len(order)} rows")
    number = next(i for i, (made, _, of, chosen) in enumerate(order) if (made, of) == (op, use) and chosen)
    pipeline = shader_code.read_pipeline(os.path.join(folder, f"ours-{op}", f"{number}.txt"))
    variant = order[number][1]
    return Kernel(variant, pipeline, our_work(op, variant, pipeline.constants))


def llama_kernel(folder, run, prefix):
    """The pipeline of that name that llama.cpp dispatched most often."""
    names, counts = {}, collections.Counter()
    with open(os.path.join(folder, f"llama-{run}", "log.txt"), encoding="utf-8") as file:
        for line in file:
            kind, number, rest = line.split(" ", 2)
            if kind == "name":
                names[number] = rest.strip()
            elif names.get(number, "").startswith(prefix):
                counts[number] += 1
    number = counts.most_common(1)[0][0]
    pipeline = shader_code.read_pipeline(os.path.join(folder, f"llama-{run}", f"{number}.txt"))
    return Kernel(names[number], pipeline, llama_work(names[number], pipeline.constants))


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--version", default="llama.cpp")
    parser.add_argument("folder")
    parser.add_argument("devices", nargs="+")
    arguments = parser.parse_args()
    sys.setrecursionlimit(20000)
    devices, misread = [], 0
    for device in arguments.devices:
        folder, lines = os.path.join(arguments.folder, device), []
        with open(os.path.join(folder, "title"), encoding="utf-8") as file:
            title = file.read().strip()
        with open(os.path.join(folder, "ours-matmul", "output"), encoding="utf-8") as file:
            driver = re.search(r"Mesa \S+(?=\. \d+ pipelines)", file.read())
        title += f", {driver[0]}" if driver else ""
        for name, op, use, prefix, runs in USES:
            try:
                kernels = [our_kernel(folder, op, use)] + [llama_kernel(folder, run, prefix) for run in runs]
                lines.append((name, [measure(device, kernel) for kernel in kernels]))
            except (Misread, ValueError) as error:
                print(f"beside_llama: {device}, {name}: {error}", file=sys.stderr)
                misread += 1
        devices.append((device, title, lines))
    findings = os.path.join(os.path.dirname(os.path.abspath(__file__)), "beside_llama_findings.md")
    with open(findings, encoding="utf-8") as file:
        print(page(devices, arguments.version, file.read()), end="")
    return 1 if misread else 0


if __name__ == "__main__":
    sys.exit(main())
