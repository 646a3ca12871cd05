// What every subcommand shares: the global options, where models and texts come from, and messages.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "runtime/kernels.hpp"

namespace CLI {
class App;
class Option;
}  // namespace CLI

namespace vkbert::tools {

/// Options that may stand before or after the subcommand's name.
struct GlobalOptions {
    std::string model;                 // a folder, or a name in the local Hugging Face cache
    std::string device = "auto";       // auto, an index, or a part of a device's name
    std::string precision = "auto";    // auto, fp32 or fp16
    std::vector<std::string> kernels;  // "OP=VARIANT"
    std::string memory_limit;          // "2GiB"; empty: none
    uint64_t seed = 0;
    bool no_tuning = false;
    bool profile = false, quiet = false, verbose = false;
};

/// What main hands to the subcommands. A subcommand's callback sets `run`; main calls it once parsing is
/// over, so that usage errors and failures of the work are never mixed up.
struct Context {
    GlobalOptions options;
    CLI::App* app = nullptr;
    std::function<void()> run;
};

/// The value of an environment variable, empty when it is not set.
std::string environment(const char* name);

/// "2GiB", "512MiB", "1.5GB", "1000000" -> bytes. Errors (invalid_argument): anything else.
uint64_t parse_bytes(const std::string& text, const char* option);

/// {"matmul=tiled", ...} -> {{"matmul", "tiled"}, ...}. Errors (invalid_argument): no '=', or an empty side.
KernelChoices parse_kernel_choices(const std::vector<std::string>& choices);

/// The folder of the Hugging Face hub cache: HF_HUB_CACHE, else HF_HOME/hub, else
/// XDG_CACHE_HOME/huggingface/hub, else
/// ~/.cache/huggingface/hub. Errors (failed): no home folder is known.
std::filesystem::path hub_cache_folder();
/// HF_HOME, else XDG_CACHE_HOME/huggingface, else ~/.cache/huggingface.
std::filesystem::path hub_home_folder();
/// Where compiled pipelines are kept: XDG_CACHE_HOME/vkbert, else ~/.cache/vkbert; empty when no home folder
/// is known.
std::filesystem::path pipeline_cache_folder();

/// One line on standard error, unless --quiet.
void message(const GlobalOptions& options, const std::string& text);

/// "1.5 GB", "812 kB": decimal units, three digits.
std::string human_bytes(double bytes);

/// Throws invalid_input "WHERE: byte N is not valid UTF-8 ..." unless text is well-formed UTF-8.
void require_utf8(const std::string& text, const std::string& where);

}  // namespace vkbert::tools
