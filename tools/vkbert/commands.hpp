// The subcommands: each function adds one to the application. See the file of the same name.
#pragma once

#include "tools/vkbert/common.hpp"

namespace vkbert::tools {

void add_answer_command(CLI::App& app, Context& context);
void add_bench_command(CLI::App& app, Context& context);
void add_choose_command(CLI::App& app, Context& context);
void add_classify_command(CLI::App& app, Context& context);
void add_completion_command(CLI::App& app, Context& context);
void add_devices_command(CLI::App& app, Context& context);
void add_embed_command(CLI::App& app, Context& context);
void add_evaluate_command(CLI::App& app, Context& context);
void add_fill_mask_command(CLI::App& app, Context& context);
void add_finetune_command(CLI::App& app, Context& context);
void add_next_sentence_command(CLI::App& app, Context& context);
void add_pull_command(CLI::App& app, Context& context);
void add_selftest_command(CLI::App& app, Context& context);
void add_tag_command(CLI::App& app, Context& context);
void add_tokenize_command(CLI::App& app, Context& context);
void add_tune_command(CLI::App& app, Context& context);

}  // namespace vkbert::tools
