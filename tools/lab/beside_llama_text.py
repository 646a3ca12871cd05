"""The words and tables of BESIDE_LLAMA.md."""

TOLERANCE = 1.02    # what the model cannot tell apart

HEAD = """# Our inner loops beside llama.cpp's

Written by `tools/lab/beside_llama`. Both programs ran on the laboratory's shim devices, on the same build of the same driver:
vkbert-compile-probe at BERT-base's shapes on 1,024 tokens, and llama.cpp encoding 8 x 128 tokens with BERT-base (Debian unstable's
{version}). Each chose its own
kernels, tiles and subgroup sizes as it would on the real device; a Vulkan layer (`pipeline_watch.c`) wrote down what the
compilers made of them. Nothing ran on a GPU: these are the compilers' code and a model.

Cycles are those of one unit (SIMD of AMD, vector engine of Intel, a fourth of NVIDIA's SM) for 1,024 multiply-adds of the
loop's product, on the loop's busiest pipe. Everything in the loop counts: loads, addresses, softmax, conversions. "Same
arithmetic": what llama.cpp takes when asked for fp32 (`GGML_VK_DISABLE_F16`, `GGML_VK_DISABLE_COOPMAT`), or for fp16 operands with
fp32 sums, which is what ours do. "Own choice": what it takes by itself from fp32 or fp16 weights: it rounds fp32 operands to fp16
wherever the device has fp16, and sums matrix products in fp16 on most devices. Its attention has keys and values in fp16 always.

"""

MODEL = """
## The model

A loop costs, on each pipe, the sum over its instructions; pipes work side by side, since several subgroups are in flight, so the
busiest one is the estimate. Left out on both sides alike: waits, bank conflicts, caches, dependences. Of two alternatives in
a loop the longer counts. Rates a cycle of one unit:

| | fp32 lanes | shared memory, bytes | global loads, bytes | matrices, multiply-adds (fp32 sums; fp16 sums) |
|---|---:|---:|---:|---:|
| GCN 4 | 16 (4 cycles an instruction; conversions and exp2 16) | 32 | 16 | |
| RDNA 2 | 32 (subgroups of 64: 2 cycles) | 64 | 64 | |
| RDNA 3, 3.5 | 32; 64 of a subgroup of 64, for the instructions that RADV lists | 64 | 64 | 128; 128 |
| RDNA 4 | as RDNA 3 | 64 | 64 | 256; 256 |
| Xe-LP (tgl) | 8, integers too | 8 | 4 | |
| Xe-HPG (dg2) | 8 (fp16 16), integers beside them | 8 | 8 | 64 |
| Xe2 (lnl, bmg) | 16 (fp16 32), integers beside them | 16 | 16 | 128 |
| Turing | 16, integers 16 beside them | 32 | 16 | 64; 128 |
| Ampere, Ada | 32, of which integers take 16 | 32 | 32 | 64; 128 |

AMD's instruction costs are those of RADV's own compiler (aco_statistics.cpp), matrices and memory from the vendors' manuals; exp2
and its like run at a quarter (AMD, Intel) or an eighth (NVIDIA) of the rate on a pipe of their own; NVIDIA issues one
instruction a cycle; integer products of 32 bits are four times as dear on AMD. Shared memory moves what arrives in registers:
a value that all lanes read counts for each. Its rate on Intel, 128 bytes a cycle for 16 engines (Xe2: 8), is the least certain.

The script checks every loop: it must hold the multiply-adds that its tile implies. By hand, for example: llama.cpp's fp32
tile of 64 x 64 x 32 with 128 threads is 64 * 64 * 32 / 128 = 1,024 a lane, and its loop has 1,024 `v_fmac_f32` on AMD and
1,024 `mad` on Intel; its 128 x 128 x 32 with 128 threads has 4,096 `ffma` on NVK. Our 128 x 128 x 16 with 256 threads is 1,024 a
lane: 1,024 `v_fmac_f32` on AMD, 16 turns of 64 on Intel and NVK. Our 128 x 128 x 32 in fp16 on RDNA 3 is 128 x 128 x 32 / 4,096 / 8
subgroups = 16 `v_wmma` each. Matmul must match exactly; attention may have a tenth more, for its softmax.

Occupancy: subgroups in flight on one unit, of the most there can be, and what limits them, from registers, shared memory
and workgroup size. It agrees with what RADV and NVK tell of every kernel here (RADV counts in subgroups of 32, and assumes half a
work group processor's shared memory); Intel's engines have a fixed number of threads, whatever registers they use.

The compiler's own estimate, per 1,024 multiply-adds: RADV's inverse throughput (64 lanes), brw's cycle count (of one thread,
waits included), NAK's delays along the loop (of one warp). RADV and brw tell it of the whole program and weigh all loops alike
whatever their turns, so that nothing is said where a loop has inner loops.
"""


def number(value):
    return "" if value is None else f"{value:.1f}" if value < 100 else f"{value:,.0f}"


def cell(result):
    return f"{number(result.cycles)} {result.busiest}"


def in_flight(result):
    now, most, limit = result.occupancy
    return f"{now:g} of {most:g}, {limit}" if limit != "none" else f"{now:g} of {most:g}"


def verdict(ratio):
    return "no worse" if ratio <= TOLERANCE else "**worse**"


def comparison(devices):
    text = ["| device | loop | ours | same arithmetic | own choice | ours / same | ours / own | beside the same arithmetic |",
            "|---|---|---|---|---|---:|---:|---|"]
    for device, _, lines in devices:
        for name, (ours, same, own) in lines:
            ratios = ours.cycles / same.cycles, ours.cycles / own.cycles
            text.append(f"| {device} | {name} | {cell(ours)} | {cell(same)} | {cell(own)} | {ratios[0]:.2f} | {ratios[1]:.2f} | "
                        f"{verdict(ratios[0])} |")
    return "\n".join(text) + "\n"


def counts(devices):
    """How many loops are no worse, by kind of loop."""
    text = ["| loop | no worse than the same arithmetic | no worse than its own choice | worse than the same arithmetic on |",
            "|---|---:|---:|---|"]
    names = [name for name, _ in devices[0][2]]
    for name in names:
        of = [(device, dict(lines)[name]) for device, _, lines in devices if name in dict(lines)]
        worse = [device for device, (ours, same, _) in of if ours.cycles > TOLERANCE * same.cycles]
        own = sum(ours.cycles <= TOLERANCE * theirs.cycles for _, (ours, _, theirs) in of)
        text.append(f"| {name} | {len(of) - len(worse)} of {len(of)} | {own} of {len(of)} | {', '.join(worse)} |")
    return "\n".join(text) + "\n"


def details(lines):
    text = ["| | kernel | arithmetic | subgroups x lanes | a turn | instructions | cycles by pipe | compiler | registers | "
            "shared bytes | spills | in flight |", "|---|---|---|---|---:|---:|---|---:|---:|---:|---:|---|"]
    seen = set()
    for name, results in lines:
        for who, r in zip(("ours", "llama.cpp", "llama.cpp"), results):
            key = (who, r.kernel, r.arithmetic, r.multiply_adds, round(r.instructions, 2))
            if key in seen:
                continue
            seen.add(key)
            pipes = ", ".join(f"{pipe} {number(cycles)}" for pipe, cycles in
                              sorted(r.pipes.items(), key=lambda item: -item[1]) if cycles >= 0.05 * r.cycles)
            kernel = f"{r.kernel} ({name.split(',')[0]})" if who == "ours" else r.kernel
            text.append(f"| {who} | {kernel} | {r.arithmetic} | {-(-r.threads // r.lanes)} x {r.lanes} | {r.multiply_adds:,} "
                        f"| {number(r.instructions)} | {pipes} | {number(r.compiler)} | {r.registers} | {r.shared:,} "
                        f"| {r.spills} | {in_flight(r)} |")
    return "\n".join(text) + "\n"


def page(devices, version, findings):
    parts = [HEAD.format(version=version), findings, "\n## In short\n\n", counts(devices), "\n## Cycles per 1,024 multiply-adds\n\n",
             comparison(devices), MODEL, "\n## Kernel by kernel\n\n",
             "A turn: multiply-adds of one subgroup in one turn of the loop. Instructions, cycles and the compiler's estimate: per\n"
             "1,024 multiply-adds. Spills: registers spilled and filled, in the whole program.\n"]
    for device, title, lines in devices:
        parts.append(f"\n### {device}: {title}\n\n{details(lines)}")
    return "".join(parts)
