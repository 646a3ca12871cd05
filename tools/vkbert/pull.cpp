// vkbert pull: a model from the Hugging Face Hub into the standard cache.
#include <CLI/App.hpp>
#include <CLI/Config.hpp>
#include <CLI/Formatter.hpp>

#include <algorithm>
#include <fstream>
#include <memory>
#include <regex>

#include "runtime/error.hpp"
#include "tools/vkbert/checksum.hpp"
#include "tools/vkbert/commands.hpp"
#include "tools/vkbert/hub_client.hpp"
#include "tools/vkbert/hub_store.hpp"
#include "tools/vkbert/output.hpp"
#include "tools/vkbert/progress.hpp"

namespace vkbert::tools {

namespace fs = std::filesystem;

namespace {
struct PullOptions {
    std::string name, revision = "main";
};
}  // namespace

/// HF_TOKEN, else the file that `hf auth login` writes.
static std::string hub_token() {
    std::string token = environment("HF_TOKEN");
    if (token.empty()) token = environment("HUGGING_FACE_HUB_TOKEN");
    if (token.empty()) {
        const std::string path = environment("HF_TOKEN_PATH");
        std::ifstream file(path.empty() ? hub_home_folder() / "token" : fs::path(path));
        std::getline(file, token);
    }
    const auto space = [](unsigned char c) { return std::isspace(c) != 0; };
    std::erase_if(token, space);
    if (!std::all_of(token.begin(), token.end(), [](unsigned char c) { return c > 0x20 && c < 0x7f; }))
        fail(ErrorCode::invalid_argument, "HF_TOKEN: has characters that no token has");
    return token;
}

/// A file that running or training BERT can use: configuration, vocabulary, weights, licence; not the same
/// weights for other frameworks. Folders are those of sentence-transformers' modules (1_Pooling).
static bool is_wanted(const std::string& path, bool has_safetensors) {
    static const std::regex folders(R"(^([0-9]+_[A-Za-z0-9]+/)*[^/]+$)");
    static const std::regex plain(R"((.*\.(json|txt|md)|LICENSE.*|NOTICE.*)$)", std::regex::icase);
    static const std::regex safetensors(R"(model(-[0-9]+-of-[0-9]+)?\.safetensors)");
    static const std::regex torch(R"(pytorch_model(-[0-9]+-of-[0-9]+)?\.bin)");
    if (!std::regex_match(path, folders)) return false;
    const std::string file = path.substr(path.rfind('/') + 1);
    if (std::regex_match(file, safetensors)) return true;
    if (std::regex_match(file, torch)) return !has_safetensors;
    if (file == "pytorch_model.bin.index.json") return !has_safetensors;
    return std::regex_match(file, plain) && file != "data_config.json";
}

static std::vector<std::string> wanted_files(const HubRepository& repository, const std::string& name) {
    const auto& all = repository.files;
    const auto has = [&all](const char* file) {
        return std::find(all.begin(), all.end(), file) != all.end();
    };
    const bool has_safetensors = has("model.safetensors") || has("model.safetensors.index.json");
    std::vector<std::string> files;
    for (const std::string& path : all)
        if (is_wanted(path, has_safetensors)) files.push_back(path);
    if (!has("config.json"))
        fail(ErrorCode::failed, "{}: has no config.json, so it is no model that vkbert can run", name);
    if (!has_safetensors && !has("pytorch_model.bin") && !has("pytorch_model.bin.index.json"))
        fail(ErrorCode::failed,
             "{}: has no model.safetensors or pytorch_model.bin; vkbert reads no other weights", name);
    std::sort(files.begin(), files.end());
    return files;
}

/// Throws unless the file's content is what its name says. Names of other kinds (mirrors) tell nothing: size
/// alone counts.
static void verify(const fs::path& file, const HubFile& expected, const std::string& what) {
    const uint64_t size = fs::file_size(file);
    if (expected.size && size != *expected.size)
        fail(ErrorCode::failed,
             "{}: {} bytes arrived, {} were announced; the download was damaged, pull again", what, size,
             *expected.size);
    const auto hexadecimal = [&](size_t digits) {
        return expected.etag.size() == digits &&
               std::all_of(expected.etag.begin(), expected.etag.end(),
                           [](unsigned char c) { return std::isxdigit(c); });
    };
    std::string found;
    if (hexadecimal(64)) found = sha256_of_file(file);
    if (hexadecimal(40)) found = git_blob_sha1_of_file(file);
    std::string wanted = expected.etag;
    std::transform(wanted.begin(), wanted.end(), wanted.begin(),
                   [](unsigned char c) { return std::tolower(c); });
    if (!found.empty() && found != wanted)
        fail(ErrorCode::failed, "{}: its checksum is {}, not {}; the download was damaged, pull again", what,
             found, wanted);
}

namespace {
class Pull {
  public:
    Pull(const GlobalOptions& global, const PullOptions& options, const std::string& endpoint,
         const fs::path& cache)
        : global_(global),
          options_(options),
          store_(cache, options.name),
          client_(endpoint, http_options()) {}

    void run() {
        const HubRepository repository = client_.repository(options_.name, options_.revision);
        const std::vector<std::string> files = wanted_files(repository, options_.name);
        for (const std::string& path : files)
            if (!store_.has(repository.commit, path)) fetch(repository.commit, path);
        if (options_.revision != repository.commit) store_.set_revision(options_.revision, repository.commit);
        const std::string folder = store_.snapshot(repository.commit).string();
        message(global_, fmt::format("{}: {} files, {} fetched, in {}", options_.name, files.size(),
                                     human_bytes(static_cast<double>(fetched_)), folder));
        ResultWriter output;
        JsonLine line;
        line.field("model", options_.name)
            .field("revision", options_.revision)
            .field("commit", repository.commit);
        line.field("path", folder).field("files", uint64_t(files.size())).field("fetched_bytes", fetched_);
        output.line(line);
        output.finish();
    }

  private:
    HttpOptions http_options() const {
        HttpOptions http;
        http.token = hub_token();
        http.user_agent = "vkbert/" VKBERT_VERSION;
        http.note = [this](const std::string& text) { message(global_, text); };
        return http;
    }

    void fetch(const std::string& commit, const std::string& path) {
        const HubFile file = client_.file(options_.name, commit, path);
        const BlobLock lock(store_, file.etag,
                            [&] { message(global_, path + ": waiting for another download of it"); });
        if (!fs::exists(store_.blob(file.etag))) {
            const fs::path partial = store_.partial(file.etag);
            std::error_code none;
            const uint64_t there = fs::exists(partial, none) ? fs::file_size(partial, none) : 0;
            download(file, path, there);
            try {
                verify(partial, file, options_.name + "/" + path);
            } catch (const Error&) {
                fs::remove(partial, none);
                // An earlier run may have left the damage: the beginning is not trusted a second time.
                if (there == 0) throw;
                download(file, path, 0);
                verify_or_remove(partial, file, path);
            }
            store_.keep(file.etag);
        }
        store_.link(commit, path, file.etag);
    }

    void verify_or_remove(const fs::path& partial, const HubFile& file, const std::string& path) const {
        try {
            verify(partial, file, options_.name + "/" + path);
        } catch (const Error&) {
            std::error_code none;
            fs::remove(partial, none);
            throw;
        }
    }

    void download(const HubFile& file, const std::string& path, uint64_t there) {
        const uint64_t size = file.size.value_or(0);
        if (size > there) store_.require_space(size - there);
        Progress progress(global_.quiet, path, Progress::Unit::bytes, size);
        progress.start_at(there);
        uint64_t last = there;
        client_.download(file, store_.partial(file.etag), [&](uint64_t bytes) {
            fetched_ += bytes > last ? bytes - last : bytes;
            last = bytes;
            progress.set(bytes);
        });
    }

    const GlobalOptions& global_;
    const PullOptions& options_;
    HubStore store_;
    HubClient client_;
    uint64_t fetched_ = 0;
};
}  // namespace

static void check_names(const PullOptions& options) {
    static const std::regex name(R"([A-Za-z0-9_][A-Za-z0-9_.\-]*(/[A-Za-z0-9_][A-Za-z0-9_.\-]*)?)");
    if (!std::regex_match(options.name, name) || options.name.find("--") != std::string::npos ||
        options.name.find("..") != std::string::npos)
        fail(ErrorCode::invalid_argument, "'{}' is not a model's name on the hub; write ORGANISATION/MODEL",
             options.name);
    if (!is_safe_path(options.revision))
        fail(ErrorCode::invalid_argument, "--revision: '{}' is not a branch, tag or commit",
             options.revision);
}

static void pull(const GlobalOptions& global, const PullOptions& options) {
    check_names(options);
    const std::string offline = environment("HF_HUB_OFFLINE");
    if (!offline.empty() && offline != "0")
        fail(ErrorCode::failed, "HF_HUB_OFFLINE is set; unset it to pull");
    std::string endpoint = environment("HF_ENDPOINT");
    if (endpoint.empty()) endpoint = "https://huggingface.co";
    Pull(global, options, endpoint, hub_cache_folder()).run();
}

void add_pull_command(CLI::App& app, Context& context) {
    CLI::App* command =
        app.add_subcommand("pull", "Fetch a model from the Hugging Face Hub into the local cache");
    auto options = std::make_shared<PullOptions>();
    command->add_option("NAME", options->name, "The model's name on the hub: ORGANISATION/MODEL")->required();
    command->add_option("--revision", options->revision, "Branch, tag or commit")->capture_default_str();
    command->footer(R"(Examples:
  vkbert pull sentence-transformers/all-MiniLM-L6-v2
  vkbert pull google-bert/bert-base-uncased --revision main

An interrupted pull goes on where it stopped. HF_ENDPOINT names another hub, HF_TOKEN a token for private models;
HF_HOME and HF_HUB_CACHE say where the cache is.)");
    command->callback(
        [&context, options] { context.run = [&context, options] { pull(context.options, *options); }; });
}

}  // namespace vkbert::tools
