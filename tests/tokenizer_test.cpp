// The tokenizer against hand-written cases, facts published for real vocabularies, a golden file made from
// the reference implementation, bad input and random bytes.
#include "bert/tokenizer/tokenizer.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "runtime/error.hpp"

namespace vkbert {
namespace {

using Json = nlohmann::json;
using ::testing::ElementsAre;

std::string lines(const std::vector<std::string>& tokens) {
    std::string result;
    for (const std::string& token : tokens) result += token + '\n';
    return result;
}

std::vector<std::string> tokens(const Tokenizer& tokenizer, const Encoding& encoding) {
    std::vector<std::string> result;
    for (const int32_t id : encoding.ids) result.emplace_back(tokenizer.token(id).value_or("?"));
    return result;
}

constexpr EncodeOptions bare{.add_special_tokens = false};

const std::vector<std::string> small_vocabulary = {"[PAD]", "[UNK]",  "[CLS]", "[SEP]", "[MASK]",
                                                   "want",  "##want", "##ed",  "wa",    "un",
                                                   "runn",  "##ing",  ",",     "low",   "lowest"};

TEST(Tokenizer, SplitsIntoLongestPieces) {
    const Tokenizer tokenizer = Tokenizer::from_vocabulary(lines(small_vocabulary));
    const Encoding encoding = tokenizer.encode("UNwant\u00E9d,running", std::nullopt, bare);
    EXPECT_THAT(tokens(tokenizer, encoding), ElementsAre("un", "##want", "##ed", ",", "runn", "##ing"));
    EXPECT_THAT(encoding.offsets, ElementsAre(TextRange{0, 2}, TextRange{2, 6}, TextRange{6, 8},
                                              TextRange{8, 9}, TextRange{9, 13}, TextRange{13, 16}));
    EXPECT_THAT(encoding.word_ids, ElementsAre(0, 0, 0, 1, 2, 2));
}

}  // namespace
}  // namespace vkbert
