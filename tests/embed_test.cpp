// vkbert embed on a small model: what sentence-transformers' files ask for.
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>

#include "tests/run_program.hpp"
#include "tests/test_device.hpp"

namespace vkbert::test {
namespace {

ProgramResult embed(const TemporaryFolder& model, const std::string& text) {
    return run_vkbert(
        {"embed", "--device", device().capabilities().device_name, "--model", model.path(), text});
}

TEST(Embed, TextsAreLowerCasedWhereSentenceTransformersFilesSaySo) {
    const char* source = std::getenv("VKBERT_SOURCE_DIR");
    ASSERT_NE(source, nullptr);
    const TemporaryFolder model;
    std::filesystem::copy(std::filesystem::path(source) / "tests/golden/encoder", model.path());
    model.file("tokenizer_config.json", R"({"tokenizer_class":"BertTokenizer","do_lower_case":false})");
    model.file("modules.json",
               R"([{"idx":0,"name":"0","path":"","type":"sentence_transformers.models.Transformer"},
                   {"idx":1,"name":"1","path":"1_Pooling","type":"sentence_transformers.models.Pooling"}])");
    std::filesystem::create_directory(model.path() + "/1_Pooling");
    model.file("1_Pooling/config.json", R"({"pooling_mode_mean_tokens":true})");
    const ProgramResult small = embed(model, "a b c");
    ASSERT_EQ(small.exit_code, 0) << small.err;
    EXPECT_NE(embed(model, "A B C").out, small.out) << "the tokenizer is cased";
    model.file("sentence_bert_config.json", R"({"do_lower_case":true})");
    EXPECT_EQ(embed(model, "A B C").out, small.out);
    EXPECT_EQ(embed(model, "a b c").out, small.out);
}

}  // namespace
}  // namespace vkbert::test
