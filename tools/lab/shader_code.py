"""Final shader code as Mesa's compilers print it (RADV: ACO through LLVM; ANV: brw; NVK: NAK), read into blocks and loops.

A dump is what pipeline_watch.c writes. An instruction is its line of text; what it means is issue_model.py's business. A loop
is a natural loop: a jump backwards to a block that dominates it, and whatever lies between.
"""
import re
from dataclasses import dataclass, field


@dataclass
class Executable:
    """One executable of one pipeline (Intel's may have several widths)."""
    name: str
    subgroup: int
    statistics: dict = field(default_factory=dict)
    representations: dict = field(default_factory=dict)   # name: lines


@dataclass
class Pipeline:
    constants: dict            # specialization constants by id
    executables: list


def read_pipeline(path):
    """A file N.txt of pipeline_watch."""
    pipeline, lines = Pipeline({}, []), None
    with open(path, encoding="utf-8", errors="replace") as file:
        for line in file:
            line = line.rstrip("\n")
            kind = line.split(" ", 1)[0]
            if kind == "@constant":
                _, number, value = line.split()
                pipeline.constants[int(number)] = int(value)
            elif kind == "@executable":
                _, subgroup, name = line.split(" ", 2)
                pipeline.executables.append(Executable(name, int(subgroup)))
                lines = None
            elif kind == "@statistic":
                _, value, name = line.split(" ", 2)
                pipeline.executables[-1].statistics[name] = float(value)
            elif kind == "@representation":
                lines = pipeline.executables[-1].representations.setdefault(line.split(" ", 1)[1], [])
            elif lines is not None:
                lines.append(line)
    return pipeline


@dataclass
class Block:
    """Straight code. Successors are places in the list of blocks."""
    instructions: list = field(default_factory=list)
    successors: list = field(default_factory=list)


@dataclass
class Loop:
    header: int
    blocks: set
    children: list = field(default_factory=list)


class _Builder:
    """Makes blocks of labels and instructions in order; jumps are given by name and become successors in the end."""

    def __init__(self):
        self.blocks, self.places, self.jumps = [Block()], {}, []

    def label(self, name):
        if self.blocks[-1].instructions or len(self.blocks) == 1:
            self._next(falls=True)
        self.places[name] = len(self.blocks) - 1

    def add(self, text):
        self.blocks[-1].instructions.append(text)

    def jump(self, targets, falls):
        """Ends a block: to these labels, and, if it falls, into the next block."""
        for target in targets:
            self.jumps.append((len(self.blocks) - 1, target))
        self._next(falls)

    def _next(self, falls):
        if falls:
            self.blocks[-1].successors.append(len(self.blocks))
        self.blocks.append(Block())

    def finish(self):
        for place, target in self.jumps:
            self.blocks[place].successors.append(self.places[target])
        for block in self.blocks:
            block.successors = [s for s in block.successors if s < len(self.blocks)]
        return self.blocks


def amd_blocks(lines):
    """ "BB3:", then lines that begin with a tab; the words of machine code follow a semicolon."""
    builder = _Builder()
    for line in lines:
        text = line.split(";")[0].strip()
        if re.fullmatch(r"BB\d+:", text):
            builder.label(text[:-1])
        elif line.startswith("\t") and text:
            builder.add(text)
            target = re.match(r"s_(c?)branch\S*\s+(BB\d+)", text)
            if target:
                builder.jump([target[2]], falls=bool(target[1]))
            elif text.startswith("s_endpgm"):
                builder.jump([], falls=False)
    return _apart(builder.finish())


def _apart(blocks):
    """RADV writes "if A else B" as A, then a block that inverts the mask of lanes and jumps over B where none is left. Whoever
    comes to it through A, all lanes together, jumps; who comes by the jump over A does not. Each gets a copy of that block, so
    that no way leads through both."""
    for place in range(1, len(blocks)):
        lines, before = blocks[place].instructions, blocks[place - 1]
        inverts = next((i for i, text in enumerate(lines) if re.match(r"s_(andn2|and_not1)_b\d+ exec\S* .*exec", text)), None)
        if inverts is None or not lines[-1].startswith("s_cbranch_execz") or place not in before.successors:
            continue
        if all(text.startswith("s_") for text in lines[:inverts]):
            target = blocks[place].successors[0] if blocks[place].successors[0] != place + 1 else blocks[place].successors[-1]
            before.successors = [len(blocks) if s == place else s for s in before.successors]
            blocks.append(Block(list(lines), [target]))
    return blocks


def intel_blocks(lines):
    """ "LABEL3:" and instructions; of a send, the next line says which unit it goes to, and is joined to it here."""
    builder, joined = _Builder(), []
    for line in lines:
        if "MsgDesc:" in line and joined:
            joined[-1] += " " + line.strip()
        elif re.match(r"(\(.*?\) )?[a-z][a-z0-9.]*\(\d+\)|LABEL\d+:|sync ", line):
            joined.append(line.strip())
    for text in joined:
        if text.startswith("LABEL"):
            builder.label(text[:-1])
            continue
        builder.add(text)
        jump = re.match(r"(?:\(.*?\) )?(if|else|break|continue|while)\(\d+\)\s+JIP:\s+(LABEL\d+)(?:\s+UIP:\s+(LABEL\d+))?", text)
        if jump:
            builder.jump([jump[3] if jump[1] in ("break", "continue") else jump[2]], falls=jump[1] != "else")
    return builder.finish()


def nvidia_blocks(lines):
    """ "block.u 4 L8 [2, 3] -> {", instructions, "} -> [5]": the successors stand there."""
    blocks = []
    for line in lines:
        if re.match(r"block\S* \d+ ", line):
            blocks.append(Block())
        elif line.startswith("} -> ["):
            blocks[-1].successors = [int(n) for n in re.findall(r"\d+", line[5:])]
        elif blocks and line.strip() and line[0] in " @":
            blocks[-1].instructions.append(line.strip())
    return blocks


def blocks_of(vendor, executable):
    """The blocks of the final code; vendor: amd, intel, nvidia."""
    name, parse = {"amd": ("Assembly", amd_blocks), "intel": ("GEN Assembly", intel_blocks),
                   "nvidia": ("NAK assembly", nvidia_blocks)}[vendor]
    return parse(executable.representations[name])


def _dominators(blocks):
    """For each block the set (as bits) of the blocks that every way to it passes; 0 for what cannot be reached."""
    before = [[] for _ in blocks]
    order, seen, stack = [], {0}, [(0, iter(blocks[0].successors))]
    while stack:
        place, rest = stack[-1]
        child = next((s for s in rest if s not in seen), None)
        if child is None:
            order.append(place)
            stack.pop()
        else:
            seen.add(child)
            stack.append((child, iter(blocks[child].successors)))
    for place in seen:
        for successor in blocks[place].successors:
            before[successor].append(place)
    every = (1 << len(blocks)) - 1
    dominators = [every if place in seen else 0 for place in range(len(blocks))]
    dominators[0] = 1
    changed = True
    while changed:
        changed = False
        for place in reversed(order[:-1]):
            common = every
            for previous in before[place]:
                common &= dominators[previous]
            common |= 1 << place
            changed |= common != dominators[place]
            dominators[place] = common
    return dominators, before


def loops_of(blocks):
    """The outermost loops in the order of their headers, with the loops inside them as children."""
    dominators, before = _dominators(blocks)
    bodies = {}
    for place, block in enumerate(blocks):
        for header in block.successors:
            if not dominators[place] >> header & 1:
                continue
            body, stack = bodies.setdefault(header, {header}), [place]
            while stack:
                inside = stack.pop()
                if inside not in body:
                    body.add(inside)
                    stack += before[inside]
    loops, outermost = [Loop(header, body) for header, body in sorted(bodies.items())], []
    for loop in loops:
        around = [other for other in loops if other is not loop and loop.blocks < other.blocks]
        parent = min(around, key=lambda other: len(other.blocks), default=None)
        (parent.children if parent else outermost).append(loop)
    return outermost


def longest_path(blocks, loop):
    """The way through one turn of the loop with the most instructions: a list of blocks' places and of child loops (whole, by
    their header). Of two alternatives the longer counts; what may be skipped counts."""
    inside = {place: child for child in loop.children for place in child.blocks}
    best = {}

    def exits(node):
        if isinstance(node, int):
            return blocks[node].successors
        return sorted({s for place in node.blocks for s in blocks[place].successors if s not in node.blocks})

    def visit(place):
        node = inside.get(place, place)
        key = node if isinstance(node, int) else node.header
        if key not in best:
            best[key] = (0, [])      # no way through is found twice: the body without its jump back has no cycle
            ways = [visit(s) for s in exits(node) if s in loop.blocks and s != loop.header]
            length, rest = max(ways, key=lambda way: way[0], default=(0, []))
            own = [node] if isinstance(node, int) else node.blocks
            best[key] = (length + sum(len(blocks[b].instructions) for b in own), [node] + rest)
        return best[key]

    return visit(loop.header)[1]
