// What lies around the weights: sentence-transformers' files, the hub cache, matrices written, initial
// values.
#include <gtest/gtest.h>

#include <cmath>

#include "bert/checkpoint.hpp"
#include "bert/hub_cache.hpp"
#include "bert/initial_values.hpp"
#include "bert/matrix_file.hpp"
#include "bert/sentence_transformers.hpp"
#include "tests/file_test.hpp"

namespace vkbert {
namespace {

using test::expect_error;
using test::TemporaryFolder;

constexpr const char* transformer =
    R"({"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"})";
constexpr const char* pooling =
    R"({"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"})";
constexpr const char* normalize = R"({"idx":2,"name":"2","path":"2_Normalize","type":"x.Normalize"})";

SentenceTransformer read(const TemporaryFolder& folder) {
    return read_sentence_transformer(folder.path()).value();
}

TEST(SentenceTransformers, ReadsMeanPoolingAndNormalize) {
    const TemporaryFolder folder;
    EXPECT_FALSE(read_sentence_transformer(folder.path()));
    folder.write("modules.json", fmt::format("[{},{},{}]", transformer, pooling, normalize));
    folder.write("1_Pooling/config.json", R"({"word_embedding_dimension":384,"pooling_mode_cls_token":false,
        "pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":false,"pooling_mode_mean_sqrt_len_tokens":false})");
    folder.write("sentence_bert_config.json", R"({"max_seq_length":256,"do_lower_case":true})");
    const SentenceTransformer model = read(folder);
    EXPECT_EQ(model.model, folder.path());
    EXPECT_EQ(model.pooling, std::vector{ops::Pooling::mean});
    EXPECT_TRUE(model.normalize);
    EXPECT_EQ(model.dimension, 384u);
    EXPECT_EQ(model.max_seq_length, 256u);
    EXPECT_TRUE(model.do_lower_case);
}

TEST(SentenceTransformers, ReadsEveryPoolingMode) {
    const TemporaryFolder folder;
    folder.write("modules.json", fmt::format("[{},{}]", transformer, pooling));
    const struct {
        const char* config;
        std::vector<ops::Pooling> pooling;
    } cases[] = {
        {R"({"pooling_mode_mean_tokens":true,"pooling_mode_max_tokens":true,"pooling_mode_cls_token":true})",
         {ops::Pooling::first, ops::Pooling::max, ops::Pooling::mean}},
        {R"({"pooling_mode_cls_token":true})", {ops::Pooling::first}},
        {R"({"word_embedding_dimension":8})", {ops::Pooling::mean}},
        {R"({"embedding_dimension":8,"pooling_mode":"cls","pooling_mode_mean_tokens":true})",
         {ops::Pooling::first}},
        {R"({"pooling_mode":["mean","max"]})", {ops::Pooling::mean, ops::Pooling::max}},
    };
    for (const auto& good : cases) {
        folder.write("1_Pooling/config.json", good.config);
        const SentenceTransformer model = read(folder);
        EXPECT_EQ(model.pooling, good.pooling) << good.config;
        EXPECT_FALSE(model.normalize);
        EXPECT_FALSE(model.max_seq_length);
    }
}

TEST(SentenceTransformers, RefusesWhatItCannotDo) {
    const TemporaryFolder folder;
    const struct {
        ErrorCode code;
        const char* message;
        std::string modules, pooling, sentence;
    } cases[] = {
        {ErrorCode::invalid_input, "modules.json: not a list", "{}", "{}", "{}"},
        {ErrorCode::invalid_input, "modules.json: not a list", "[]", "{}", "{}"},
        {ErrorCode::invalid_input, "modules.json: not a list", "[3]", "{}", "{}"},
        {ErrorCode::invalid_input, "modules.json: not valid JSON", "[", "{}", "{}"},
        {ErrorCode::invalid_input, "has no type", R"([{"path":""}])", "{}", "{}"},
        {ErrorCode::invalid_input, "leaves the folder", R"([{"path":"../x","type":"Transformer"}])", "{}",
         "{}"},
        {ErrorCode::invalid_input, "leaves the folder", R"([{"path":"/etc","type":"Transformer"}])", "{}",
         "{}"},
        {ErrorCode::unsupported, "Dense",
         fmt::format(R"([{},{},{{"path":"2_Dense","type":"s.Dense"}}])", transformer, pooling), "{}", "{}"},
        {ErrorCode::unsupported, "no Pooling", fmt::format("[{}]", transformer), "{}", "{}"},
        {ErrorCode::unsupported, "\"lasttoken\"", "", R"({"pooling_mode_lasttoken":true})", "{}"},
        {ErrorCode::unsupported, "\"weightedmean\"", "", R"({"pooling_mode":"weightedmean"})", "{}"},
        {ErrorCode::invalid_input, "1_Pooling/config.json: pooling_mode_cls_token is not", "",
         R"({"pooling_mode_cls_token":1})", "{}"},
        {ErrorCode::invalid_input, "pooling_mode is not text", "", R"({"pooling_mode":[1]})", "{}"},
        {ErrorCode::invalid_input, "pooling_mode is empty", "", R"({"pooling_mode":[]})", "{}"},
        {ErrorCode::invalid_input, "word_embedding_dimension", "", R"({"word_embedding_dimension":-1})",
         "{}"},
        {ErrorCode::invalid_input, "1_Pooling/config.json: not a JSON object", "", "[]", "{}"},
        {ErrorCode::invalid_input, "sentence_bert_config.json: max_seq_length", "", "{}",
         R"({"max_seq_length":0})"},
        {ErrorCode::invalid_input, "sentence_bert_config.json: do_lower_case", "", "{}",
         R"({"do_lower_case":"no"})"},
    };
    for (const auto& bad : cases) {
        folder.write("modules.json",
                     bad.modules.empty() ? fmt::format("[{},{}]", transformer, pooling) : bad.modules);
        folder.write("1_Pooling/config.json", bad.pooling);
        folder.write("sentence_bert_config.json", bad.sentence);
        expect_error(bad.code, bad.message, [&] { read(folder); });
    }
    std::filesystem::remove(folder.path() / "1_Pooling" / "config.json");
    folder.write("modules.json", fmt::format("[{},{}]", transformer, pooling));
    folder.write("sentence_bert_config.json", "{}");
    expect_error(ErrorCode::invalid_input, "1_Pooling/config.json: No such file", [&] { read(folder); });
}

TEST(HubCache, FollowsTheEnvironment) {
    EXPECT_EQ(hub_cache_root({"/a", "/b", "/c", "/d"}), "/a");
    EXPECT_EQ(hub_cache_root({"", "/b", "/c", "/d"}), "/b/hub");
    EXPECT_EQ(hub_cache_root({"", "", "/c", "/d"}), "/c/huggingface/hub");
    EXPECT_EQ(hub_cache_root({"", "", "", "/d"}), "/d/.cache/huggingface/hub");
    EXPECT_EQ(hub_cache_root({}), "");
}

TEST(HubCache, FindsSnapshots) {
    const TemporaryFolder folder;
    const std::string commit = "0123456789abcdef0123456789abcdef01234567";
    const HubRepository repository(folder.path(), "org/some-model");
    EXPECT_EQ(repository.folder(), folder.path() / "models--org--some-model");
    EXPECT_EQ(HubRepository(folder.path(), "bert-base-uncased").folder(),
              folder.path() / "models--bert-base-uncased");
    EXPECT_FALSE(repository.find());
    folder.write("models--org--some-model/refs/main", commit);
    EXPECT_FALSE(repository.find());
    folder.write("models--org--some-model/snapshots/" + commit + "/config.json", "{}");
    folder.write("models--org--some-model/refs/refs/pr/1", commit + "\n");
    EXPECT_EQ(repository.find(), repository.snapshot(commit));
    EXPECT_EQ(repository.find(commit), repository.snapshot(commit));
    EXPECT_EQ(repository.find("refs/pr/1"), repository.snapshot(commit));
    EXPECT_FALSE(repository.find("v2"));
    EXPECT_EQ(resolve_model("org/some-model", folder.path()), repository.snapshot(commit));
    EXPECT_EQ(resolve_model(folder.path().string(), folder.path()), folder.path());
    folder.write("models--org--some-model/refs/main", "../../../../etc");
    expect_error(ErrorCode::invalid_input, "refs/main: does not hold a commit",
                 [&] { (void)repository.find(); });
    const auto refuse = [&](const std::string& model, const std::string& message) {
        expect_error(ErrorCode::invalid_input, model + ": " + message,
                     [&] { resolve_model(model, folder.path()); });
    };
    refuse("org/absent", "no such folder, and revision main is not in the Hugging Face cache");
    refuse("./absent/folder", "no such folder");
    refuse(folder.write("file", "").string(), "is a file, not a model folder");
    expect_error(ErrorCode::invalid_input, "no Hugging Face cache is known",
                 [&] { resolve_model("org/absent", ""); });
}

TEST(HubCache, RefusesNamesThatClimb) {
    for (const char* good : {"a", "a/b", "sentence-transformers/all-MiniLM-L6-v2", "A_1.b"})
        EXPECT_TRUE(is_hub_name(good));
    for (const char* bad : {"", "/", "a/", "/a", "a/b/c", "..", "../a", "a/..", "a--b", "a b", "a\n", ".",
                            "a/.", "-a", "\xc3\xa9"}) {
        EXPECT_FALSE(is_hub_name(bad)) << bad;
        EXPECT_THROW(HubRepository("/", bad), Error) << bad;
    }
    const HubRepository repository("/", "a");
    for (const char* bad : {"", "..", "a/../b", "/a", "a//b", "a/"})
        EXPECT_THROW((void)repository.reference(bad), Error) << bad;
    for (const char* bad : {"", "..", "a/b"}) EXPECT_THROW((void)repository.blob(bad), Error) << bad;
    EXPECT_THROW((void)repository.snapshot("main"), Error);
}

TEST(MatrixFile, WritesBothFormats) {
    const TemporaryFolder folder;
    const std::vector<float> rows = {1, 2, 3, 4, 5, 6};
    for (const MatrixFormat format : {MatrixFormat::npy, MatrixFormat::safetensors}) {
        const auto path = folder.path() / (format == MatrixFormat::npy ? "a.npy" : "a.safetensors");
        MatrixFile file(path, format);
        file.append(std::span(rows).first(3), 3);
        file.append(std::span(rows).last(3), 3);
        EXPECT_EQ(file.rows(), 2u);
        EXPECT_THROW(file.append(std::span(rows).first(2), 3), Error);
        EXPECT_THROW(file.append(std::span(rows).first(2), 2), Error);
        EXPECT_FALSE(std::filesystem::exists(path));
        const std::vector<uint64_t> lengths = {2};
        file.finish(lengths);
        const std::string bytes = test::file_bytes(path);
        ASSERT_EQ(bytes.size(), 256 + 6 * sizeof(float) + (format == MatrixFormat::safetensors ? 8 : 0));
        EXPECT_EQ(std::memcmp(bytes.data() + 256, rows.data(), 6 * sizeof(float)), 0);
    }
    const std::string npy = test::file_bytes(folder.path() / "a.npy");
    EXPECT_EQ(npy.substr(0, 10), std::string("\x93NUMPY\x01\x00\xf6\x00", 10));
    EXPECT_EQ(npy.substr(10, 61), "{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }  ");
    EXPECT_EQ(npy[255], '\n');
    const Checkpoint checkpoint = Checkpoint::open(folder.path() / "a.safetensors");
    EXPECT_EQ(checkpoint.find("embeddings")->shape, (std::vector<uint64_t>{2, 3}));
    EXPECT_EQ(checkpoint.find("tokens")->shape, std::vector<uint64_t>{1});
    std::vector<float> out(6);
    checkpoint.read(*checkpoint.find("embeddings"), 0, out);
    EXPECT_EQ(out, rows);
    const TemporaryFolder other;
    { const MatrixFile abandoned(other.path() / "b.npy", MatrixFormat::npy); }
    EXPECT_TRUE(std::filesystem::is_empty(other.path()));
}

TEST(InitialValues, AreATruncatedNormalDistribution) {
    Config config = config_of_shape("1,1000,10,4");
    const ParameterTable table(config, Head::none);
    const size_t row = table.index("encoder.layer.0.attention.self.query.weight");
    std::vector<float> values(1000000);
    initial_values(table, row, config, 7, 0, values);
    double sum = 0, squares = 0;
    size_t inside = 0;
    for (const float value : values) {
        ASSERT_LE(std::abs(value), 0.040002f);
        sum += value;
        squares += double(value) * value;
        inside += std::abs(value) < 0.02f;
    }
    // Within five standard errors of the distribution's own figures: 0, 0.87963 and erf(1/sqrt(2)) /
    // erf(sqrt(2)).
    EXPECT_NEAR(sum / 1e6, 0, 5 * 0.0176e-3);
    EXPECT_NEAR(std::sqrt(squares / 1e6) / 0.02, 0.87963, 0.0025);
    EXPECT_NEAR(double(inside) / 1e6, 0.682689 / 0.954500, 5 * 0.00045);
}

TEST(InitialValues, DependOnSeedRowAndIndexOnly) {
    const Config config = config_of_shape("tiny");
    const ParameterTable table(config, Head::none);
    const size_t query = table.index("encoder.layer.0.attention.self.query.weight");
    std::vector<float> whole(100), part(30), other(100);
    initial_values(table, query, config, 1, 0, whole);
    initial_values(table, query, config, 1, 50, part);
    EXPECT_TRUE(std::equal(part.begin(), part.end(), whole.begin() + 50));
    initial_values(table, query, config, 2, 0, other);
    EXPECT_NE(other, whole);
    initial_values(table, query + 1, config, 1, 0, other);
    EXPECT_NE(other, whole);
    initial_values(table, table.index("embeddings.LayerNorm.weight"), config, 1, 0, other);
    EXPECT_EQ(other, std::vector<float>(100, 1.0f));
    initial_values(table, table.index("embeddings.LayerNorm.bias"), config, 1, 0, other);
    EXPECT_EQ(other, std::vector<float>(100, 0.0f));
}

}  // namespace
}  // namespace vkbert
