// The subcommands: each function adds one to the application. See the file of the same name.
#pragma once

#include "tools/vkbert/common.hpp"

namespace vkbert::tools {

void add_completion_command(CLI::App& app, Context& context);
void add_devices_command(CLI::App& app, Context& context);
void add_embed_command(CLI::App& app, Context& context);
void add_pull_command(CLI::App& app, Context& context);
void add_tokenize_command(CLI::App& app, Context& context);

}  // namespace vkbert::tools
