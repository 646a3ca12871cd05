// What the commands that run a model share: opening device, model and tokenizer, and texts through sessions
// in batches without padding.
#pragma once

#include <functional>
#include <future>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bert/session.hpp"
#include "bert/tokenizer/tokenizer.hpp"
#include "runtime/profiler.hpp"
#include "tools/vkbert/common.hpp"
#include "tools/vkbert/progress.hpp"
#include "tools/vkbert/text_input.hpp"

namespace vkbert::tools {

/// --precision. auto is fp32: the same answers on every device.
Precision precision_of(const GlobalOptions& global);

/// How a model that is not trained is loaded: for inference, unless --kernel forces a variant of matmul,
/// which is then to multiply all weights, by rows.
ModelOptions inference_options(const GlobalOptions& global);

/// The device that the global options name, with their memory limit. pipeline_cache: where compiled pipelines
/// are kept; empty: nowhere.
std::unique_ptr<Device> open_device(const GlobalOptions& global,
                                    const std::filesystem::path& pipeline_cache = pipeline_cache_folder());

/// Device, model and tokenizer as the global options say.
class LoadedModel {
  public:
    /// heads: the first that the checkpoint has is loaded; Head::none takes any checkpoint. Errors
    /// (invalid_input) name the folder when it has none of them. lower_case: as in Tokenizer::from_folder.
    LoadedModel(const GlobalOptions& global, const std::vector<Head>& heads, bool lower_case = false);
    ~LoadedModel();

    const std::filesystem::path& folder() const { return folder_; }
    const Config& config() const { return config_; }
    const Tokenizer& tokenizer() const { return *tokenizer_; }
    Model& model() { return *model_; }
    Device& device() { return *device_; }
    const GlobalOptions& global() const { return global_; }

    /// Tokens of a text at most: `asked` (0: not asked), else `usual` (0: none), within what the model has
    /// positions for. Errors (invalid_argument): more than that is asked for.
    uint32_t max_length(uint32_t asked, uint32_t usual = 0) const;
    /// Throws invalid_input unless every token of a text has an embedding.
    void check(const Encoding& encoding, const std::string& where) const;

  private:
    void load_model(const Checkpoint& checkpoint, const std::vector<Head>& heads);

    const GlobalOptions& global_;
    std::filesystem::path folder_;
    Config config_;
    std::unique_ptr<Device> device_;
    std::unique_ptr<Model> model_;
    std::optional<Tokenizer> tokenizer_;
};

/// One sequence to run.
struct Sequence {
    const Encoding* encoding = nullptr;
    std::vector<uint32_t> rows;  // within the sequence, for Output::top_k
};

/// One batch after its run.
struct BatchResult {
    Session& session;
    const Batch& batch;
    const std::vector<size_t>& items;  // batch sequence s is sequence items[s] of the call
};

/// Runs sequences through a session that it makes when the first come, and makes anew when more room is
/// needed.
class BatchRunner {
  public:
    /// options: what to compute; sizes and kernels are set here. batch_tokens 0: by the kind of device.
    BatchRunner(LoadedModel& loaded, SessionOptions options, uint32_t batch_tokens = 0);
    ~BatchRunner();

    /// Longest sequences first, in batches of bounded size.
    void run(const std::vector<Sequence>& sequences, const std::function<void(const BatchResult&)>& receive);
    uint32_t batch_tokens() const { return batch_tokens_; }

  private:
    void make_room(const std::vector<Sequence>& sequences);
    void fit_memory(uint32_t longest);

    LoadedModel& loaded_;
    SessionOptions options_;
    uint32_t batch_tokens_;
    std::unique_ptr<Session> session_;
    Profile profile_;
};

/// A text on its way: the record (its texts emptied unless they are kept) and its encodings.
struct Item {
    TextRecord record;
    std::vector<Encoding> encodings;
};

/// Reads texts in windows of bounded size, so that memory does not depend on the input's length.
struct WindowOptions {
    size_t max_texts = 4096;
    size_t max_tokens = 65536;
    bool keep_text = false;
};
/// encode fills item.encodings; process gets every window in input order. Shows progress.
void for_each_window(TextReader& reader, LoadedModel& loaded, const WindowOptions& options,
                     const std::function<void(Item&)>& encode,
                     const std::function<void(std::vector<Item>&)>& process);

/// softmax of `count` logits, in place, in double precision.
std::vector<double> softmax(const float* logits, size_t count);

}  // namespace vkbert::tools
