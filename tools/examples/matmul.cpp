// C(M,N) = A(M,K) B(N,K)^T on any Vulkan device, with vkbert's runtime alone.
#include <cmath>
#include <cstdio>

#include "runtime/ops.hpp"
#include "runtime/recording.hpp"
using namespace vkbert;

int main(int argc, char** argv) try {
    constexpr uint32_t M = 100, N = 200, K = 300;
    std::vector<float> a_values(M * K), b_values(N * K), c_values(M * N);
    for (size_t i = 0; i < a_values.size(); ++i) a_values[i] = std::sin(float(i));
    for (size_t i = 0; i < b_values.size(); ++i) b_values[i] = std::cos(float(i));

    const auto device = open_device(argc > 1 ? argv[1] : "auto", "");
    Plan plan(device->capabilities());  // plain data: nothing touches the device yet
    const Tensor a = plan.persistent("a", M, K), b = plan.persistent("b", N, K),
                 c = plan.persistent("c", M, N);
    ops::matmul(plan, "c = a b^T", c, a, b);
    plan.finish();
    Arena memory(MemoryRole::device);
    for (const Tensor& t : {a, b, c}) memory.reserve(t.bytes());
    memory.commit(*device);
    Uploader uploader(*device);
    uploader.upload(memory.range(0), 0, std::as_bytes(std::span(a_values)));
    uploader.upload(memory.range(1), 0, std::as_bytes(std::span(b_values)));
    uploader.finish();
    PipelineCache pipelines(*device);
    Recording recording(
        *device, pipelines, plan,
        {{a.storage, memory.range(0)}, {b.storage, memory.range(1)}, {c.storage, memory.range(2)}});
    recording.run();  // as often as wanted
    download(*device, memory.range(2), 0, std::as_writable_bytes(std::span(c_values)));
    double sum = 0;  // of one element, to compare
    for (uint32_t k = 0; k < K; ++k) sum += double(a_values[17 * K + k]) * double(b_values[42 * K + k]);
    std::printf("C[17][42] = %.6f, should be %.6f\n", double(c_values[17 * N + 42]), sum);
    return std::fabs(sum - double(c_values[17 * N + 42])) < 1e-4 ? 0 : 1;
} catch (const Error& e) {
    return std::fprintf(stderr, "%s\n", e.what()), 1;
}
