#include "tools/vkbert/common.hpp"

#include <cctype>
#include <cmath>
#include <cstdio>
#include <cstdlib>

#include "bert/tokenizer/utf8.hpp"
#include "runtime/error.hpp"
#include "tools/vkbert/progress.hpp"

namespace vkbert::tools {

std::string environment(const char* name) {
    const char* value = std::getenv(name);
    return value ? value : "";
}

uint64_t parse_bytes(const std::string& text, const char* option) {
    static constexpr struct {
        const char* name;
        double factor;
    } units[] = {{"", 1},
                 {"b", 1},
                 {"kib", 1024.0},
                 {"mib", 1048576.0},
                 {"gib", 1073741824.0},
                 {"tib", 1099511627776.0},
                 {"kb", 1e3},
                 {"mb", 1e6},
                 {"gb", 1e9},
                 {"tb", 1e12}};
    char* end = nullptr;
    const bool starts_with_digit =
        !text.empty() && (std::isdigit(static_cast<unsigned char>(text[0])) || text[0] == '.');
    const double number = starts_with_digit ? std::strtod(text.c_str(), &end) : NAN;
    std::string unit;
    for (const char* c = end; c && *c; ++c)
        if (*c != ' ') unit += static_cast<char>(std::tolower(static_cast<unsigned char>(*c)));
    for (const auto& known : units)
        if (unit == known.name && number > 0 && number * known.factor < 9e18)
            return static_cast<uint64_t>(number * known.factor);
    fail(ErrorCode::invalid_argument, "{}: '{}' is not a size; write for example 2GiB or 512MiB", option,
         text);
}

KernelChoices parse_kernel_choices(const std::vector<std::string>& choices) {
    KernelChoices result;
    for (const std::string& choice : choices) {
        const size_t equals = choice.find('=');
        if (equals == std::string::npos || equals == 0 || equals + 1 == choice.size())
            fail(ErrorCode::invalid_argument,
                 "--kernel: '{}' is not OP=VARIANT, such as matmul=tiled; `vkbert devices` lists them",
                 choice);
        result[choice.substr(0, equals)] = choice.substr(equals + 1);
    }
    return result;
}

static std::filesystem::path cache_folder(const char* what) {
    if (const std::string cache = environment("XDG_CACHE_HOME"); !cache.empty()) return cache;
    if (const std::string home = environment("HOME"); !home.empty())
        return std::filesystem::path(home) / ".cache";
    fail(ErrorCode::failed, "no place for {}: neither HOME nor XDG_CACHE_HOME is set", what);
}

std::filesystem::path hub_home_folder() {
    if (const std::string home = environment("HF_HOME"); !home.empty()) return home;
    return cache_folder("the Hugging Face cache (or set HF_HOME)") / "huggingface";
}

std::filesystem::path hub_cache_folder() {
    for (const char* name : {"HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE"})
        if (const std::string cache = environment(name); !cache.empty()) return cache;
    return hub_home_folder() / "hub";
}

std::filesystem::path pipeline_cache_folder() {
    if (environment("XDG_CACHE_HOME").empty() && environment("HOME").empty()) return {};
    return cache_folder("compiled pipelines") / "vkbert";
}

void message(const GlobalOptions& options, const std::string& text) {
    if (options.quiet) return;
    Progress::clear_line();
    std::fprintf(stderr, "%s\n", text.c_str());
}

std::string human_bytes(double bytes) {
    const char* const units[] = {"B", "kB", "MB", "GB", "TB"};
    size_t unit = 0;
    for (; bytes >= 999.5 && unit < 4; ++unit) bytes /= 1000;
    if (unit == 0) return fmt::format("{:.0f} B", bytes);
    return fmt::format("{:.{}f} {}", bytes, bytes < 9.995 ? 2 : bytes < 99.95 ? 1 : 0, units[unit]);
}

void require_utf8(const std::string& text, const std::string& where) {
    if (const std::optional<size_t> at = utf8::find_invalid(text))
        fail(ErrorCode::invalid_input,
             "{}: byte {} (0x{:02x}) is not valid UTF-8; convert the text first, for example with iconv",
             where, *at + 1, static_cast<unsigned char>(text[*at]));
}

}  // namespace vkbert::tools
