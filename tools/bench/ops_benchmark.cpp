// Times every variant of attention, LayerNorm and the small ops that the device can run on the shapes of
// BERT-base, alternating between the variants so that a slow moment of the machine falls on all of them:
//
//     ops_benchmark [--device NAME] [--op attention]... [--type fp32] [--rounds 5]
#include <fmt/core.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <ctime>
#include <functional>
#include <memory>
#include <random>

#include "runtime/buffer.hpp"
#include "runtime/ops.hpp"
#include "runtime/recording.hpp"

namespace {

using namespace vkbert;

/// A plan under construction and what its persistent tensors hold.
class Scene {
  public:
    Scene(const Device& device, const KernelChoices& choices) : plan(device.capabilities(), choices) {}

    Tensor matrix(uint32_t rows, uint32_t columns, Type type) {
        const Tensor tensor = plan.persistent("matrix", rows, columns, type);
        std::vector<uint32_t>& words = contents[tensor.storage];
        std::mt19937 random(tensor.storage);
        words.resize((tensor.bytes() + 3) / 4);
        // Between 0.5 and 1 in fp32, between 0.25 and 1 in either half of a word in fp16.
        for (uint32_t& word : words)
            word = type == Type::fp16 ? 0x34003400u | (random() & 0x07ff07ffu)
                                      : 0x3f000000u | (random() & 0x7fffff);
        return tensor;
    }
    Tensor integers(std::vector<uint32_t> values, uint32_t columns) {
        const Tensor tensor =
            plan.persistent("integers", uint32_t(values.size()) / columns, columns, Type::uint32);
        contents[tensor.storage] = std::move(values);
        return tensor;
    }

    Plan plan;
    std::map<StorageId, std::vector<uint32_t>> contents;
};

/// One op on one shape.
struct Case {
    std::string op, name;
    double gigas;  // of flops or of bytes
    const char* unit;
    std::function<void(Scene&)> append;
};

/// A variant of a case, ready to run.
class Candidate {
  public:
    Candidate(Device& device, PipelineCache& pipelines, const Case& c, const std::string& variant)
        : name(variant) {
        Scene scene(device, {{c.op, variant}});
        c.append(scene);
        scene.plan.finish();
        std::map<StorageId, BufferRange> bound;
        Uploader uploader(device);
        for (const auto& [storage, words] : scene.contents) {
            Buffer& buffer = *buffers_.emplace_back(
                std::make_unique<Buffer>(device, words.size() * 4 + Plan::read_slack, MemoryRole::device));
            bound[storage] = {&buffer, 0, buffer.bytes()};
            uploader.upload(bound[storage], 0, std::as_bytes(std::span(words)));
        }
        uploader.finish();
        const auto begin = std::chrono::steady_clock::now();
        recording_ = std::make_unique<Recording>(device, pipelines, std::move(scene.plan), bound);
        recording_->run();  // some drivers compile at first use
        compile_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
    }
    void run() {
        const auto begin = std::chrono::steady_clock::now();
        const std::clock_t processor_begin = std::clock();
        recording_->run();
        const std::clock_t processor_time = std::clock() - processor_begin;
        const std::chrono::duration<double> time = std::chrono::steady_clock::now() - begin;
        seconds.push_back(time.count());
        processor_seconds.push_back(double(processor_time) / CLOCKS_PER_SEC);
    }
    std::string name;
    double compile_seconds = 0;
    std::vector<double> seconds, processor_seconds;

  private:
    std::vector<std::unique_ptr<Buffer>> buffers_;
    std::unique_ptr<Recording> recording_;
};

std::vector<uint32_t> tile_words(uint32_t sequences, uint32_t length) {
    std::vector<uint32_t> offsets, words;
    for (uint32_t s = 0; s <= sequences; s++) offsets.push_back(s * length);
    for (const ops::AttentionTile& t : ops::attention_tiles(offsets))
        words.insert(words.end(), {t.row, t.rows, t.first, t.length});
    return words;
}

Case attention_case(uint32_t sequences, uint32_t length, uint32_t heads, uint32_t head_size, Type type) {
    const uint32_t tokens = sequences * length, hidden = heads * head_size;
    const double flops = 4.0 * sequences * length * length * hidden;
    return {"attention_forward",
            fmt::format("{} x {} tokens, {} heads of {}", sequences, length, heads, head_size), flops / 1e9,
            "GFLOP/s", [=](Scene& s) {
                const Tensor qkv = s.matrix(tokens, 3 * hidden, type),
                             output = s.matrix(tokens, hidden, type);
                const Tensor tiles = s.integers(tile_words(sequences, length), 4);
                ops::attention_forward(s.plan, "attention", output, qkv, tiles, {.heads = heads});
            }};
}

std::vector<Case> row_cases(Type type) {
    const uint32_t tokens = 1024, hidden = 768, vocabulary = 30522;
    const double matrix = double(tokens) * hidden * size_of(type) / 1e9, logits = 64.0 * vocabulary * 4 / 1e9;
    return {
        {"layernorm_forward", "1024 x 768", 2 * matrix, "GB/s",
         [=](Scene& s) {
             const Tensor x = s.matrix(tokens, hidden, type), y = s.matrix(tokens, hidden, type);
             const Tensor gamma = s.matrix(1, hidden, Type::fp32), beta = s.matrix(1, hidden, Type::fp32);
             ops::layernorm_forward(s.plan, "layernorm", y, x, gamma, beta);
         }},
        {"embedding_forward", "1024 tokens, 2048 words x 768", 4 * matrix, "GB/s",
         [=](Scene& s) {
             std::vector<uint32_t> ids(tokens), zeros(tokens);
             for (uint32_t i = 0; i < tokens; i++) ids[i] = i * 619 % 2048;
             const Tensor id = s.integers(ids, 1), position = s.integers(zeros, 1),
                          segment = s.integers(zeros, 1);
             const ops::EmbeddingTables tables{s.matrix(2048, hidden, type), s.matrix(512, hidden, type),
                                               s.matrix(2, hidden, type)};
             ops::embedding_forward(s.plan, "embedding", s.matrix(tokens, hidden, type), id, position,
                                    segment, tables);
         }},
        {"pool_forward", "8 x 128 tokens x 768, mean", matrix, "GB/s",
         [=](Scene& s) {
             const Tensor offsets = s.integers({0, 128, 256, 384, 512, 640, 768, 896, 1024}, 1);
             ops::pool_forward(s.plan, "pool", s.matrix(8, hidden, Type::fp32),
                               s.matrix(tokens, hidden, type), offsets, ops::Pooling::mean);
         }},
        {"softmax_forward", "64 x 30522", 2 * logits, "GB/s",
         [=](Scene& s) {
             const Tensor x = s.matrix(64, vocabulary, Type::fp32), y = s.matrix(64, vocabulary, Type::fp32);
             ops::softmax_forward(s.plan, "softmax", y, x);
         }},
        {"top_k", "5 of 64 x 30522", logits, "GB/s",
         [=](Scene& s) {
             const Tensor values = s.matrix(64, 5, Type::fp32);
             const Tensor indices = s.integers(std::vector<uint32_t>(64 * 5), 5);
             ops::top_k(s.plan, "top-k", values, indices, s.matrix(64, vocabulary, Type::fp32));
         }},
    };
}

void measure(Device& device, PipelineCache& pipelines, const Case& c, uint32_t rounds) {
    std::vector<std::string> names;
    for (const ops::KernelTable& table : ops::all_kernels())
        for (const Kernel& kernel : table.kernels)
            if (table.op == c.op && satisfies(device.capabilities(), kernel.requirements) &&
                std::find(names.begin(), names.end(), kernel.name) == names.end())
                names.emplace_back(kernel.name);
    std::vector<std::unique_ptr<Candidate>> candidates;
    for (const std::string& name : names) try {
            candidates.push_back(std::make_unique<Candidate>(device, pipelines, c, name));
        } catch (const Error& e) {  // tensors too large for the variant on this device
            fmt::print("{}: {}\n", name, e.what());
        }
    for (uint32_t round = 0; round < rounds; round++)
        for (const auto& candidate : candidates) candidate->run();
    fmt::print("{} {}: ms to compile and run once, ms, {} median (best)", c.op, c.name, c.unit);
    if (device.capabilities().device_class == DeviceClass::cpu)  // what a busy machine does not change
        fmt::print("; ms of processor time, {} for each thread", c.unit);
    fmt::print("\n");
    for (const auto& candidate : candidates) {
        std::vector<double>&seconds = candidate->seconds, &processor = candidate->processor_seconds;
        std::sort(seconds.begin(), seconds.end());
        std::sort(processor.begin(), processor.end());
        const size_t middle = seconds.size() / 2;
        fmt::print("  {:<12}{:8.1f}{:10.3f}{:10.2f} ({:.2f})", candidate->name,
                   candidate->compile_seconds * 1e3, seconds[middle] * 1e3, c.gigas / seconds[middle],
                   c.gigas / seconds.front());
        if (device.capabilities().device_class == DeviceClass::cpu)
            fmt::print("{:10.3f}{:10.2f}", processor[middle] * 1e3, c.gigas / processor[middle]);
        fmt::print("\n");
    }
}

}  // namespace

int main(int argc, char** argv) {
    std::string wanted = "auto", type_name = "fp32";
    std::vector<std::string> wanted_ops;
    uint32_t rounds = 5;
    CLI::App app("Times the variants of all ops but matmul on the shapes of BERT-base");
    app.add_option("--device", wanted, "device, as vkbert takes it");
    app.add_option("--op", wanted_ops, "only ops whose name begins so");
    app.add_option("--rounds", rounds, "runs of each variant")->check(CLI::Range(1, 1000));
    app.add_option("--type", type_name, "storage")->check(CLI::IsMember({"fp32", "fp16"}));
    CLI11_PARSE(app, argc, argv);
    try {
        const std::unique_ptr<Device> device = open_device(wanted, "");
        fmt::print("{} ({})\n", device->capabilities().device_name, device->capabilities().driver_info);
        PipelineCache pipelines(*device);
        const Type type = type_name == "fp16" ? Type::fp16 : Type::fp32;
        std::vector<Case> cases{attention_case(8, 128, 12, 64, type), attention_case(2, 512, 12, 64, type),
                                attention_case(40, 24, 12, 32, type), attention_case(1, 25, 12, 32, type)};
        for (Case& c : row_cases(type)) cases.push_back(std::move(c));
        for (const Case& c : cases) {
            const auto begins = [&](const std::string& name) { return c.op.starts_with(name); };
            if (wanted_ops.empty() || std::any_of(wanted_ops.begin(), wanted_ops.end(), begins))
                measure(*device, pipelines, c, rounds);
        }
    } catch (const Error& e) {
        fmt::print(stderr, "ops_benchmark: {}\n", e.what());
        return 1;
    }
    return 0;
}
