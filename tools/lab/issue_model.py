"""A simple model of what one instruction costs: cycles on each pipe of the unit that a subgroup runs on.

The unit is one SIMD (AMD), one vector engine (Intel, "EU"), one of the four parts of an SM (NVIDIA). With several subgroups in
flight its pipes work side by side, so that a loop costs the sum over its instructions on the busiest pipe. Left out, for both
sides alike: waits, bank conflicts (and what broadcasts save), caches, dependences. BESIDE_LLAMA.md states the rates in words.
"""
import math
import re
from dataclasses import dataclass


@dataclass(frozen=True)
class Machine:
    vendor: str
    pass_lanes: int = 32        # of the vector unit, in fp32 lanes a cycle
    shared_rate: float = 0      # bytes a cycle of shared memory, this unit's share
    memory_rate: float = 0      # the same of global memory's first cache
    matrix_rate: float = 0      # multiply-adds a cycle of matrix instructions, fp16 with fp32 sums
    matrix_half_rate: float = 0     # the same with fp16 sums
    old: bool = False           # GCN: four cycles an instruction; Turing: half as many fp32 lanes; Xe-LP: one pipe for all
    wide_passes: bool = False   # RDNA 3 and later: a subgroup of 64 in one pass for most fp32 instructions


MACHINES = {
    "polaris10": Machine("amd", 16, 32, 16, old=True),
    "navi21": Machine("amd", 32, 64, 64),
    "navi31": Machine("amd", 32, 64, 64, 128, 128, wide_passes=True),
    "strix1": Machine("amd", 32, 64, 64, 128, 128, wide_passes=True),
    "gfx1201": Machine("amd", 32, 64, 64, 256, 256, wide_passes=True),
    "tgl": Machine("intel", 8, 8, 4, old=True),
    "dg2": Machine("intel", 8, 8, 8, 64, 64),
    "lnl": Machine("intel", 16, 16, 16, 128, 128),
    "bmg": Machine("intel", 16, 16, 16, 128, 128),
    "nvk160": Machine("nvidia", 16, 32, 16, 64, 128, old=True),
    "nvk170": Machine("nvidia", 32, 32, 32, 64, 128),
    "nvk190": Machine("nvidia", 32, 32, 32, 64, 128),
}


@dataclass
class Cost:
    """Of one instruction of one subgroup."""
    pipes: dict                 # cycles by pipe
    multiply_adds: int = 0
    multiplies: int = 0         # plain fp32 or fp16 products: a dot product begins with one
    kind: str = ""              # of the multiply-add: "fp32", "fp16", "fp16 matrix, fp32 sums", ...


def cost(machine, text, lanes):
    return {"amd": amd_cost, "intel": intel_cost, "nvidia": nvidia_cost}[machine.vendor](machine, text, lanes)


def rounded(count, rate):
    return max(1, -(-count // rate))


# ---- AMD -------------------------------------------------------------------------------------------------------------------

AMD_SLOW = r"v_mul_lo_u32|v_mul_hi_[iu]32|v_mad_u64_u32|v_mad_co_u64_u32"
AMD_TRANSCENDENTAL = r"v_(exp|log|rcp|rsq|sqrt|sin|cos)_"
# What a subgroup of 64 does in one pass since RDNA 3; the list is the one of RADV's compiler.
AMD_ONE_PASS = (r"v_(fma|fmac|fmaak|fmamk|mul|add|sub|subrev|max|min|max_num|min_num)_(f32|f16)|v_mov_b(32|16)|"
                r"v_cndmask_b(32|16)|v_dot2c?_")


def amd_bytes(name):
    """Of one lane, by the instruction's name."""
    size = {"b128": 16, "dwordx4": 16, "b96": 12, "dwordx3": 12, "b64": 8, "dwordx2": 8}.get(
        next((part for part in reversed(name.split("_")) if re.fullmatch(r"b128|b96|b64|dwordx[234]", part)), ""), 4)
    return size * (2 if re.search(r"2addr|read2|write2", name) else 1)


def amd_one_pass(name, text):
    if name.startswith("v_fma_mix_f32"):
        operands = text.split(None, 1)[1].split(" op_sel")[0].split(", ")[1:4]
        return len({o.strip() for o in operands}) < 3 or any(not o.strip().lstrip("-|").startswith("v") for o in operands)
    return re.match(AMD_ONE_PASS, name) is not None and "dpp" not in name


def amd_vector(machine, name, text, lanes):
    passes = 4 if machine.old else 1 if lanes == 32 or machine.wide_passes and amd_one_pass(name, text) else 2
    if re.match(AMD_TRANSCENDENTAL, name):
        return {"vector": 16} if machine.old else {"vector": passes, "transcendental": 4 * passes}
    if re.match(AMD_SLOW, name) or machine.old and name.startswith("v_cvt_"):
        return {"vector": 4 * passes}
    if re.match(r"v_\w+64(_|$)", name) and "e64" not in name:
        return {"vector": 2 * passes}
    return {"vector": passes}


def amd_cost(machine, text, lanes):
    name = text.split()[0]
    step = 4 if machine.old else 1
    if name.startswith("v_wmma"):
        half = name.startswith("v_wmma_f16")
        return Cost({"vector": 4096 / (machine.matrix_half_rate if half else machine.matrix_rate)}, 4096,
                    kind="fp16 matrices, fp16 sums" if half else "fp16 matrices, fp32 sums")
    if name.startswith("v_dual_"):
        halves = [amd_cost(machine, half.strip().replace("v_dual_", "v_"), lanes) for half in text.split("::")]
        return Cost({"vector": 1}, sum(h.multiply_adds for h in halves), sum(h.multiplies for h in halves), halves[0].kind)
    if name.startswith("v_"):
        pipes = amd_vector(machine, name, text, lanes)
        if re.match(r"v_(fma|fmac|fmaak|fmamk|mac|mad|madak|madmk)_f32|v_fma_mix_f32", name):
            return Cost(pipes, lanes, kind="fp32")
        if re.match(r"v_dot2c?_f32_f16", name):
            return Cost(pipes, 2 * lanes, kind="fp16 pairs, fp32 sums")
        if re.match(r"v_pk_fmac?_f16", name):
            return Cost(pipes, 2 * lanes, kind="fp16 pairs, fp16 sums")
        return Cost(pipes, multiplies=lanes if re.match(r"v_mul_f32", name) else 2 * lanes if name == "v_pk_mul_f16" else 0)
    if name.startswith("ds_"):
        return Cost({"shared": max(step, amd_bytes(name) * lanes / machine.shared_rate)})
    if re.match(r"buffer_|global_|flat_|scratch_", name):
        return Cost({"memory": max(step, amd_bytes(name) * lanes / machine.memory_rate)})
    if re.match(r"s_(c?branch|sendmsg)", name):
        return Cost({"branch": step + (0 if machine.old else 2)})
    if re.match(r"s_(wait|delay|nop|clause|inst_prefetch|set_inst|sleep|barrier|code_end|endpgm)", name):
        return Cost({})
    return Cost({"scalar": step})


# ---- Intel -----------------------------------------------------------------------------------------------------------------

def intel_send(machine, text, lanes):
    """Bytes that a message moves: one of Xe2's words ("d32, V4"), of the older kind ("SIMD8, Mask = 0xc") or of whole
    registers ("owords = 2": spilled ones too)."""
    unit, words = text.split("MsgDesc:")[0].split()[-1], text.split("MsgDesc:")[1]
    shared = unit == "slm" or re.search(r"Surface = 254|bti 254", words) is not None
    vector, block, mask = re.search(r"\bV(\d+)(, transpose)?", words), re.search(r"owords = (\d+)", words), re.search(
        r"SIMD(\d+), Mask = 0x([0-9a-f]+)", words)
    if unit == "gateway" or "fence" in words:
        return Cost({"send": 1})
    if vector:
        size = int(vector[1]) * (1 if vector[2] else lanes) * (8 if "d64" in words else 4)
    elif block:
        size = int(block[1]) * 16
    elif mask:
        size = int(mask[1]) * 4 * (4 - bin(int(mask[2], 16)).count("1"))
    else:
        size = lanes * 4
    rate = machine.shared_rate if shared else machine.memory_rate
    return Cost({"send": 1, "shared" if shared else "memory": rounded(size, rate)})


def intel_cost(machine, text, _lanes):
    match = re.match(r"(?:\(.*?\) )?([a-z0-9]+)([a-z0-9. ]*)\((\d+)\)", text)
    if not match:
        return Cost({"control": 1})
    name, more, lanes = match[1], match[2], int(match[3])
    if "MsgDesc:" in text:
        return intel_send(machine, text, lanes)
    kind = re.search(r"<\d+>(U?[A-Z]+)", text)
    kind = kind[1] if kind else ""
    if name == "dpas":
        rows = int(more.split("x")[1])
        sums = "fp16" if kind == "HF" else "fp32"
        return Cost({"matrix": 16 * rows * lanes / machine.matrix_rate}, 16 * rows * lanes,
                    kind=f"fp16 matrices, {sums} sums")
    if name in ("sync", "nop", "if", "else", "endif", "while", "break", "cont", "jmpi", "halt", "send"):
        return Cost({"control": 1})
    if name == "math":
        return Cost({"math": rounded(lanes, machine.pass_lanes / 4)})
    size = {"HF": 2, "W": 2, "UW": 2, "B": 1, "UB": 1, "DF": 8, "Q": 8, "UQ": 8}.get(kind, 4)
    cycles = rounded(lanes * size, machine.pass_lanes * 4)
    pipe = "vector" if machine.old or kind in ("F", "HF") else "integer"
    if name == "mad" and kind in ("F", "HF"):
        return Cost({pipe: cycles}, lanes, kind="fp32" if kind == "F" else "fp16, fp16 sums")
    return Cost({pipe: cycles}, multiplies=lanes if name == "mul" and kind in ("F", "HF") else 0)


# ---- NVIDIA ----------------------------------------------------------------------------------------------------------------

NVIDIA_BYTES = {"b128": 16, "b64": 8, "x4": 16, "x2": 8}
NVIDIA_CONTROL = ("bra", "bssy", "bsync", "bclear", "bar", "nop", "membar", "exit", "break", "warpsync", "errbar", "cctl", "vote")


def nvidia_cost(machine, text, lanes):
    text = re.sub(r"//.*", "", re.sub(r"^@\S+\s+", "", text))
    target, name = text.split("=", 1) if "=" in text else ("", text)
    name = name.split()[0]
    first, parts = name.split(".")[0], name.split(".")
    if first == "hmma":
        rows, columns, depth = map(int, re.fullmatch(r"m(\d+)n(\d+)k(\d+)", parts[1]).groups())
        rate = machine.matrix_half_rate if parts[2] == "f16" else machine.matrix_rate
        return Cost({"issue": 1, "matrix": rows * columns * depth / rate}, rows * columns * depth,
                    kind=f"fp16 matrices, {'fp16' if parts[2] == 'f16' else 'fp32'} sums")
    if first in NVIDIA_CONTROL:
        return Cost({"issue": 1})
    if first in ("ffma", "fmul", "fadd"):
        pipes = {"issue": 1, "vector": lanes / machine.pass_lanes}
        return Cost(pipes, lanes if first == "ffma" else 0, lanes if first == "fmul" else 0, "fp32" if first == "ffma" else "")
    if first in ("hfma2", "hmul2", "hadd2"):
        return Cost({"issue": 1, "vector": 2}, 2 * lanes if first == "hfma2" else 0, 2 * lanes if first == "hmul2" else 0,
                    "fp16 pairs, fp16 sums" if first == "hfma2" else "")
    if first in ("ld", "st", "ldsm", "atom", "red"):
        size = next((NVIDIA_BYTES[part] for part in reversed(parts) if part in NVIDIA_BYTES), 4)
        shared = "shared" in parts or first == "ldsm"
        return Cost({"issue": 1, "shared" if shared else "memory":
                     size * lanes / (machine.shared_rate if shared else machine.memory_rate)})
    if first in ("shfl", "movm"):
        return Cost({"issue": 1, "shared": 4})
    if first in ("mufu", "i2f", "f2i", "flo", "popc"):
        return Cost({"issue": 1, "special": 8})
    if re.match(r"\s*u[rp]\d", target):
        return Cost({"issue": 1, "uniform": 2})
    if machine.old:
        return Cost({"issue": 1, "vector" if first in ("imad", "imad64") else "integer": 2})
    return Cost({"issue": 1, "vector": 1, "integer": 2})     # integers use half of the fp32 lanes


# ---- Occupancy: subgroups of one unit ------------------------------------------------------------------------------------------

AMD_REGISTERS = {"polaris10": (256, 8), "navi21": (1024, 16), "navi31": (1536, 16), "strix1": (1024, 16), "gfx1201": (1536, 16)}
SHARED = {"polaris10": 65536, "navi21": 65536, "navi31": 65536, "strix1": 65536, "gfx1201": 65536, "tgl": 131072,
          "dg2": 131072, "lnl": 131072, "bmg": 131072, "nvk160": 65536, "nvk170": 102400, "nvk190": 102400}
INTEL_UNITS = {"tgl": (16, 7), "dg2": (16, 8), "lnl": (8, 8), "bmg": (8, 8)}      # vector engines that share, threads of each
NVIDIA_WARPS = {"nvk160": 32, "nvk170": 48, "nvk190": 48}


def check_occupancy(device, statistics, lanes, limits):
    """Where the compiler tells it too: RADV in subgroups of 32 from RDNA on and rounded up, by registers and shared memory as if
    workgroups need not come whole; NVK by registers alone."""
    if MACHINES[device].vendor == "amd":
        told = statistics["Subgroups per SIMD"]
        ours = math.ceil(min(limits.values())) * (1 if device == "polaris10" else lanes // 32)
    elif MACHINES[device].vendor == "nvidia":
        told, ours = statistics["Max warps/SM"], 4 * limits["registers"]
    else:
        return
    if told != ours:
        raise ValueError(f"occupancy: the compiler says {told}, the model {ours}")


def occupancy(device, statistics, lanes, threads, shared):
    """(subgroups in flight on one unit, the most there can be, what limits them) of workgroups of so many threads and bytes."""
    vendor = MACHINES[device].vendor
    subgroups = -(-threads // lanes)
    if vendor == "intel":
        units, most = INTEL_UNITS[device]
        size = 1 << max(10, (shared - 1).bit_length()) if shared else 0
        registers = most                        # every thread has its registers, used or not
    elif vendor == "amd":
        there, most = AMD_REGISTERS[device]
        units, size = 4 if device == "polaris10" else 2, -(-shared // 512) * 512
        registers = there * 32 // (lanes if units == 2 else 32) // int(statistics["VGPRs"])
    else:
        units, most = 4, NVIDIA_WARPS[device] // 4
        size = shared and -(-shared // 256) * 256 + (0 if device == "nvk160" else 1024)
        registers = 16384 // (-(-int(statistics["Number of GPRs"]) // 8) * 8 * 32)
    limits = {"registers": min(most, registers)}
    if shared:
        limits["shared memory"] = SHARED[device] // size * subgroups / units
    check_occupancy(device, statistics, lanes, limits)
    at_registers = limits["registers"] * units // subgroups * subgroups / units
    if at_registers < limits["registers"]:
        limits["workgroup size"] = at_registers
    least = min(limits.values())
    if least >= most:
        return most, most, "none"
    return least, most, next(name for name, value in limits.items() if value == least)
