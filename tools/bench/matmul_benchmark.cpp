// Times every matmul variant that the device can run on the shapes of BERT-base, alternating between the
// variants so that a slow moment of the machine falls on all of them:
//
//     matmul_benchmark [--device NAME] [--rows 1024,128] [--type fp32] [--rounds 5] [--variant NAME]...
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <ctime>
#include <memory>

#include "runtime/buffer.hpp"
#include "runtime/ops/matmul.hpp"
#include "runtime/recording.hpp"

namespace {

using namespace vkbert;

struct Shape {
    uint32_t n, k;
};
constexpr Shape bert_shapes[] = {{768, 768}, {2304, 768}, {3072, 768}, {768, 3072}};

struct Options {
    std::string device = "auto";
    std::vector<uint32_t> rows{1024, 128};
    std::vector<std::string> variants;
    std::vector<Shape> shapes{std::begin(bert_shapes), std::end(bert_shapes)};
    uint32_t rounds = 5;
};

/// One variant on one problem, ready to run.
struct Candidate {
    std::string name;
    std::unique_ptr<Recording> recording;
    std::vector<double> seconds, processor_seconds;
};

struct Problem {
    uint32_t m;
    Shape shape;
    Type type;
    double flops() const { return 2.0 * m * shape.n * shape.k; }
};

/// A, B, bias and C in one buffer each, filled with numbers that are neither zero nor denormal.
class Memory {
  public:
    Memory(Device& device, const Problem& p) {
        const uint64_t a = uint64_t(p.m) * p.shape.k, b = uint64_t(p.shape.n) * p.shape.k;
        const uint64_t c = uint64_t(p.m) * p.shape.n;
        for (const uint64_t elements : {a, b, c, uint64_t(p.shape.n)}) add(device, elements, p.type);
    }
    Buffer buffers[4];

  private:
    void add(Device& device, uint64_t elements, Type type) {
        const uint64_t bytes = elements * 4 + Plan::read_slack;
        Buffer& buffer = buffers[count_++] = Buffer(device, bytes, MemoryRole::device);
        std::vector<uint32_t> words(bytes / 4);
        for (size_t i = 0; i < words.size(); i++)
            words[i] = type == Type::fp16 ? 0x38003400u ^ uint32_t(i * 2654435761u & 0x81ff81ffu)
                                          : 0x3f000000u ^ uint32_t(i * 2654435761u & 0x807fffffu);
        Uploader uploader(device);
        uploader.upload({&buffer, 0, bytes}, 0, std::as_bytes(std::span(words)));
        uploader.finish();
    }
    size_t count_ = 0;
};

Candidate prepare(Device& device, PipelineCache& pipelines, Memory& memory, const Problem& p,
                  const std::string& name) {
    KernelChoices choices;
    if (name != "chosen") choices["matmul"] = name;
    Plan plan(device.capabilities(), choices);
    const Tensor a = plan.persistent("a", p.m, p.shape.k, p.type);
    const Tensor b = plan.persistent("b", p.shape.n, p.shape.k, p.type);
    const Tensor c = plan.persistent("c", p.m, p.shape.n, p.type);
    const Tensor bias = plan.persistent("bias", 1, p.shape.n);
    ops::matmul(plan, "matmul", c, a, b, {.bias = &bias});
    plan.finish();
    std::map<StorageId, BufferRange> bound;
    const StorageId ids[] = {a.storage, b.storage, c.storage, bias.storage};
    for (size_t i = 0; i < 4; i++) bound[ids[i]] = {&memory.buffers[i], 0, memory.buffers[i].bytes()};
    const std::string kernel(plan.dispatches().front().kernel->name);
    return {name == "chosen" ? "chosen: " + kernel : name,
            std::make_unique<Recording>(device, pipelines, std::move(plan), bound),
            {}, {}};
}

std::vector<std::string> names(const Device& device, const Options& options, Type type) {
    if (!options.variants.empty()) return options.variants;
    std::vector<std::string> all{"chosen"};
    for (const Kernel& kernel : ops::matmul_kernels(type))
        if (satisfies(device.capabilities(), kernel.requirements)) all.emplace_back(kernel.name);
    return all;
}

void measure(Device& device, PipelineCache& pipelines, const Problem& p, const Options& options) {
    Memory memory(device, p);
    std::vector<Candidate> candidates;
    for (const std::string& name : names(device, options, p.type)) try {
            candidates.push_back(prepare(device, pipelines, memory, p, name));
        } catch (const Error& e) {
            fmt::print("{}\n", e.what());
        }
    for (Candidate& candidate : candidates) candidate.recording->run();
    for (uint32_t round = 0; round < options.rounds; round++)
        for (Candidate& candidate : candidates) {
            const auto begin = std::chrono::steady_clock::now();
            const std::clock_t busy = std::clock();
            candidate.recording->run();
            candidate.seconds.push_back(
                std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
            candidate.processor_seconds.push_back(double(std::clock() - busy) / CLOCKS_PER_SEC);
        }
    fmt::print("M={} N={} K={} {}: GFLOP/s median (best), GFLOP per processor second\n", p.m, p.shape.n,
               p.shape.k, name_of(p.type));
    for (Candidate& candidate : candidates) {
        std::sort(candidate.seconds.begin(), candidate.seconds.end());
        std::sort(candidate.processor_seconds.begin(), candidate.processor_seconds.end());
        const auto rate = [&](double seconds) { return p.flops() / seconds / 1e9; };
        fmt::print("  {:<24}{:8.1f} ({:.1f}) {:8.1f}\n", candidate.name,
                   rate(candidate.seconds[candidate.seconds.size() / 2]), rate(candidate.seconds.front()),
                   rate(candidate.processor_seconds[candidate.processor_seconds.size() / 2]));
    }
}

}  // namespace

int main(int argc, char** argv) {
    Options options;
    CLI::App app("Times the matmul variants on the shapes of BERT-base");
    app.add_option("--device", options.device, "device, as vkbert takes it");
    app.add_option("--rows", options.rows, "values of M")->delimiter(',');
    app.add_option("--rounds", options.rounds, "runs of each variant")->check(CLI::Range(1, 1000));
    app.add_option("--variant", options.variants, "only these variants");
    std::vector<uint32_t> columns;
    app.add_option("--shape", columns, "N,K in place of BERT-base's")->delimiter(',')->expected(2);
    std::string type = "fp32";
    app.add_option("--type", type, "storage")->check(CLI::IsMember({"fp32", "fp16"}));
    CLI11_PARSE(app, argc, argv);
    if (!columns.empty()) options.shapes = {{columns[0], columns[1]}};
    try {
        const std::unique_ptr<Device> device = open_device(options.device, "");
        fmt::print("{} ({})\n", device->capabilities().device_name, device->capabilities().driver_info);
        PipelineCache pipelines(*device);
        for (const uint32_t m : options.rows)
            for (const Shape& shape : options.shapes)
                measure(*device, pipelines, {m, shape, type == "fp16" ? Type::fp16 : Type::fp32}, options);
    } catch (const Error& e) {
        fmt::print(stderr, "matmul_benchmark: {}\n", e.what());
        return 1;
    }
    return 0;
}
