#include "tools/vkbert/inference.hpp"

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "bert/checkpoint.hpp"
#include "runtime/error.hpp"
#include "tools/vkbert/model_folder.hpp"
#include "tools/vkbert/profile.hpp"
#include "tools/vkbert/tuning_file.hpp"

namespace vkbert::tools {

Precision precision_of(const GlobalOptions& global) {
    return global.precision == "fp16" ? Precision::fp16 : Precision::fp32;
}

ModelOptions inference_options(const GlobalOptions& global) {
    ModelOptions options;
    options.precision = precision_of(global);
    options.for_inference = !parse_kernel_choices(global.kernels).contains("matmul");
    return options;
}

std::unique_ptr<Device> open_device(const GlobalOptions& global,
                                    const std::filesystem::path& pipeline_cache) {
    const uint64_t limit =
        global.memory_limit.empty() ? 0 : parse_bytes(global.memory_limit, "--memory-limit");
    auto device = vkbert::open_device(global.device, pipeline_cache.string());
    device->set_memory_limit(limit);
    const Capabilities& c = device->capabilities();
    if (global.verbose)
        message(global, fmt::format("device: {}, {} {}", c.device_name, c.driver_name, c.driver_info));
    return device;
}

static Head choose_head(const Config& config, const Checkpoint& checkpoint, const std::vector<Head>& heads) {
    for (const Head head : heads)
        if (head == Head::none) return head;
    const Head found = detect_head(config, checkpoint);
    for (const Head head : heads) {
        const bool part =
            found == Head::pretraining && (head == Head::masked_lm || head == Head::next_sentence);
        if (found == head || part) return head;
    }
    fail(ErrorCode::invalid_input, "{}: has no {} head (it is {}); this command needs {}", checkpoint.name(),
         name_of(heads.front()), found == Head::none ? "BertModel" : architecture_of(found),
         architecture_of(heads.front()));
}

LoadedModel::LoadedModel(const GlobalOptions& global, const std::vector<Head>& heads, bool lower_case)
    : global_(global), folder_(model_folder(global.model)), config_(read_config(folder_)) {
    const Checkpoint checkpoint = Checkpoint::open(folder_);
    const Head head = choose_head(config_, checkpoint, heads);
    // The vocabulary is read while the device is opened and the weights are copied.
    auto tokenizer = std::async(std::launch::async,
                                [this, lower_case] { return Tokenizer::from_folder(folder_, lower_case); });
    device_ = open_device(global);
    load_model(checkpoint, {head});
    tokenizer_.emplace(tokenizer.get());
}

LoadedModel::~LoadedModel() = default;

void LoadedModel::load_model(const Checkpoint& checkpoint, const std::vector<Head>& heads) {
    ModelOptions options = inference_options(global_);
    options.head = heads.front();
    Progress progress(global_.quiet, "loading " + folder_.filename().string(), Progress::Unit::bytes, 0);
    options.progress = [&progress](uint64_t done, uint64_t total) {
        progress.set_total(total);
        progress.set(done);
    };
    model_ = Model::load(*device_, config_, checkpoint, options);
}

uint32_t LoadedModel::max_length(uint32_t asked, uint32_t usual) const {
    const uint32_t positions = config_.max_position_embeddings;
    if (asked > positions)
        fail(ErrorCode::invalid_argument, "--max-length: {} tokens, but {} has {} positions", asked,
             folder_.string(), positions);
    if (asked != 0) return asked;
    const size_t tokenizer = tokenizer_->model_max_length().value_or(positions);
    const auto most = static_cast<uint32_t>(std::min<size_t>(positions, tokenizer));
    return usual == 0 ? most : std::min(most, usual);
}

void LoadedModel::check(const Encoding& encoding, const std::string& where) const {
    for (const int32_t id : encoding.ids)
        if (static_cast<uint32_t>(id) >= config_.vocab_size)
            fail(ErrorCode::invalid_input,
                 "{}: token '{}' of {} has id {}, but config.json says vocab_size {}; vocabulary and weights "
                 "do not belong together",
                 folder_.string(), tokenizer_->token(id).value_or(""), where, id, config_.vocab_size);
}

std::vector<double> softmax(const float* logits, size_t count) {
    std::vector<double> result(count);
    double largest = -INFINITY, sum = 0;
    for (size_t i = 0; i < count; ++i) largest = std::max(largest, double(logits[i]));
    for (size_t i = 0; i < count; ++i) sum += result[i] = std::exp(double(logits[i]) - largest);
    for (double& value : result) value /= sum;
    return result;
}

static uint32_t usual_batch_tokens(const Capabilities& c) {
    // CPU drivers are busy with a few hundred tokens, and their memory is the host's.
    return c.device_class == DeviceClass::cpu          ? 1024
           : c.device_class == DeviceClass::integrated ? 4096
                                                       : 16384;
}

BatchRunner::BatchRunner(LoadedModel& loaded, SessionOptions options, uint32_t batch_tokens)
    : loaded_(loaded), options_(std::move(options)) {
    const Capabilities& c = loaded.device().capabilities();
    const uint32_t most = Session::max_tokens(c, loaded.config(), loaded.model().precision());
    batch_tokens_ = std::min(batch_tokens == 0 ? usual_batch_tokens(c) : batch_tokens, most);
    options_.kernels = parse_kernel_choices(loaded.global().kernels);
    options_.tuning = stored_tuning(loaded.global(), c);
    options_.profile = loaded.global().profile;
    options_.max_tokens = options_.max_sequences = options_.max_rows = 0;
}

BatchRunner::~BatchRunner() {
    const GlobalOptions& global = loaded_.global();
    if (!session_) return;
    Progress::clear_line();
    if (global.profile) print_profile(global, loaded_.device(), profile_);
    if (global.verbose)
        message(global, fmt::format("device memory: {} bytes at most were used",
                                    loaded_.device().peak_allocated_bytes()));
}

/// Halves the batch until the session's predicted memory is within the limit.
void BatchRunner::fit_memory(uint32_t longest) {
    Device& device = loaded_.device();
    const GlobalOptions& global = loaded_.global();
    const Model& model = loaded_.model();
    const auto planned = [&] {
        return Session::planned_bytes(device.capabilities(), loaded_.config(), model.options(), options_);
    };
    if (device.memory_limit() != 0)
        while (device.allocated_bytes() + planned() > device.memory_limit() &&
               options_.max_tokens / 2 >= longest) {
            options_.max_tokens /= 2;
            options_.max_sequences = std::min(options_.max_sequences, options_.max_tokens);
        }
    if (!global.verbose) return;
    const uint64_t weights = Model::planned_bytes(device.capabilities(), loaded_.config(), model.options());
    const uint64_t session = planned();
    message(global, fmt::format("device memory: {} bytes predicted: {} weights, {} for batches of {} tokens",
                                weights + session, weights, session, options_.max_tokens));
}

void BatchRunner::make_room(const std::vector<Sequence>& sequences) {
    size_t tokens = 0, longest = 1, most_rows = 1;
    for (const Sequence& sequence : sequences) {
        tokens += sequence.encoding->size();
        longest = std::max(longest, sequence.encoding->size());
        most_rows = std::max(most_rows, sequence.rows.size());
    }
    // Powers of two: runs on few texts share the recorded sizes, and with them the pipelines on disk.
    const auto wanted = [](size_t size, size_t limit) {
        return static_cast<uint32_t>(std::min(std::bit_ceil(size), limit));
    };
    const size_t room = std::max<size_t>(batch_tokens_, longest);
    const uint32_t need_tokens = wanted(std::max<size_t>(tokens, 32), room);
    const uint32_t need_sequences =
        wanted(std::max<size_t>(sequences.size(), 4), std::max<size_t>(room / 4, 4));
    const uint32_t need_rows = wanted(most_rows, std::max<size_t>(most_rows, 64));
    if (session_ && need_tokens <= options_.max_tokens && need_sequences <= options_.max_sequences &&
        need_rows <= options_.max_rows)
        return;
    session_.reset();
    options_.max_tokens = std::max(options_.max_tokens, need_tokens);
    options_.max_sequences = std::max(options_.max_sequences, need_sequences);
    options_.max_rows = std::max(options_.max_rows, need_rows);
    fit_memory(static_cast<uint32_t>(longest));
    batch_tokens_ = std::min(batch_tokens_, std::max(options_.max_tokens, static_cast<uint32_t>(longest)));
    session_ = std::make_unique<Session>(loaded_.model(), options_);
    loaded_.model().pipelines().save();
}

void BatchRunner::run(const std::vector<Sequence>& sequences,
                      const std::function<void(const BatchResult&)>& receive) {
    if (sequences.empty()) return;
    make_room(sequences);
    std::vector<size_t> order(sequences.size());
    std::iota(order.begin(), order.end(), size_t(0));
    std::ranges::stable_sort(order, [&](size_t a, size_t b) {
        return sequences[a].encoding->size() > sequences[b].encoding->size();
    });
    Batch batch;
    std::vector<size_t> items;
    const auto flush = [&] {
        session_->set_input(batch);
        session_->run();
        if (options_.profile) profile_.add(session_->recording().times());
        receive({*session_, batch, items});
        batch.clear();
        items.clear();
    };
    for (const size_t item : order) {
        const Sequence& sequence = sequences[item];
        const bool full = batch.tokens() + sequence.encoding->size() > options_.max_tokens ||
                          batch.sequences() == options_.max_sequences ||
                          batch.rows.size() + sequence.rows.size() > options_.max_rows;
        if (full && !items.empty()) flush();
        for (const uint32_t row : sequence.rows) batch.rows.push_back(batch.tokens() + row);
        batch.add(sequence.encoding->ids, sequence.encoding->type_ids);
        items.push_back(item);
    }
    flush();
}

void for_each_window(TextReader& reader, LoadedModel& loaded, const WindowOptions& options,
                     const std::function<void(Item&)>& encode,
                     const std::function<void(std::vector<Item>&)>& process) {
    Progress progress(loaded.global().quiet, "texts", Progress::Unit::count, 0);
    std::vector<Item> window;
    size_t tokens = 0, texts = 0;
    const auto flush = [&] {
        process(window);
        texts += window.size();
        if (reader.bytes_total() != 0 && reader.bytes_read() != 0)
            progress.set_total(static_cast<uint64_t>(double(texts) * double(reader.bytes_total()) /
                                                     double(reader.bytes_read())));
        progress.set(texts);
        window.clear();
        tokens = 0;
    };
    TextRecord record;
    while (reader.next(record)) {
        Item& item = window.emplace_back();
        item.record = std::move(record);
        encode(item);
        for (const Encoding& encoding : item.encodings) {
            loaded.check(encoding, item.record.where);
            tokens += encoding.size();
        }
        if (!options.keep_text)
            item.record.text.clear(), item.record.text.shrink_to_fit(), item.record.pair.reset();
        if (window.size() >= options.max_texts || tokens >= options.max_tokens) flush();
    }
    if (!window.empty()) flush();
}

}  // namespace vkbert::tools
