// Records as token sequences with labels, and scores and predictions from logits.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <cstring>
#include <nlohmann/json.hpp>

#include "bert/tasks/dataset.hpp"
#include "bert/tasks/scorer.hpp"
#include "tests/file_test.hpp"

namespace vkbert {
namespace {

using test::TemporaryFolder;
using testing::ElementsAre;
constexpr uint32_t none = ignored_label;

/// Ids: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, a 4, b 5, c 6, d 7, play 8, ##ing 9, . 10, e 11.
const Tokenizer& tokenizer() {
    static const Tokenizer one =
        Tokenizer::from_vocabulary("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\nc\nd\nplay\n##ing\n.\ne\n");
    return one;
}

Dataset encode(Task& task, const std::string& name, std::string_view text, ExampleOptions options = {}) {
    const TemporaryFolder folder;
    Records records = read_records(task, folder.write(name, text));
    learn_labels(task, records);
    options.for_scoring = true;
    return encode_records(task, std::move(records), tokenizer(), options);
}

/// One logit row with its largest value at `best`.
std::vector<float> row(uint32_t outputs, uint32_t best) {
    std::vector<float> logits(outputs, 0.5f);
    logits[best] = 2;
    return logits;
}

double value_of(const MetricValues& values, const std::string& name) {
    for (const auto& [one, value] : values)
        if (one == name) return value;
    ADD_FAILURE() << name << " is missing";
    return -1;
}

TEST(TaskExamples, PairsAreCutAtTheLongerSide) {
    Task task = make_task("rte");
    const Dataset data =
        encode(task, "x.tsv", "sentence1\tsentence2\tlabel\na b c d\te\tnot_entailment\na\tb\tentailment\n",
               {.max_length = 6});
    ASSERT_EQ(data.examples.size(), 2u);
    EXPECT_THAT(data.examples[0].sequences.at(0).ids, ElementsAre(2, 4, 5, 3, 11, 3));
    EXPECT_THAT(data.examples[0].sequences.at(0).types, ElementsAre(0, 0, 0, 0, 1, 1));
    EXPECT_EQ(std::get<ClassLabel>(data.examples[0].label).index, 1u);
    EXPECT_THAT(data.examples[1].sequences.at(0).ids, ElementsAre(2, 4, 3, 5, 3));
    EXPECT_EQ(data.truncated, 1u);
    EXPECT_EQ(data.record_count, 2u);
}

TEST(TaskExamples, ARecordThatJustFitsIsNotTruncated) {
    Task task = make_task("rte");
    EXPECT_EQ(encode(task, "x.tsv", "sentence1\tsentence2\tlabel\na b\tc\tentailment\n", {.max_length = 6})
                  .truncated,
              0u);
}

TEST(TaskExamples, TagsStandOnTheFirstPieceOfEachWord) {
    Task task = make_task("tagging");
    const Dataset data =
        encode(task, "x.tsv", "playing\tB-X\nb.\tI-X\nc\tO\n\n\u200b\tO\nd\tB-X\n", {.max_length = 7});
    ASSERT_EQ(data.examples.size(), 2u);
    EXPECT_THAT(data.examples[0].sequences.at(0).ids, ElementsAre(2, 8, 9, 5, 10, 6, 3));
    EXPECT_THAT(std::get<TokenLabels>(data.examples[0].label).labels,
                ElementsAre(none, 1, none, 2, none, 0, none));
    // A word that the tokenizer drops has no token; the next one keeps its own tag.
    EXPECT_THAT(data.examples[1].sequences.at(0).ids, ElementsAre(2, 7, 3));
    EXPECT_THAT(std::get<TokenLabels>(data.examples[1].label).labels, ElementsAre(none, 1, none));
    EXPECT_THAT(data.word_tokens, ElementsAre(ElementsAre(1, 3, 5), ElementsAre(none, 1)));
}

TEST(TaskExamples, WordsBehindTheCutCountAsOutside) {
    Task task = make_task("tagging");
    const Dataset data = encode(task, "x.tsv", "a\tB-X\nb\tO\nc\tB-X\n", {.max_length = 4});
    EXPECT_EQ(data.truncated, 1u);
    EXPECT_THAT(data.word_tokens, ElementsAre(ElementsAre(1, 2, none)));
    Scorer scorer(task, data);
    std::vector<float> logits;
    for (const uint32_t best : {1u, 1u, 0u, 1u})
        for (const float value : row(2, best)) logits.push_back(value);
    scorer.add(0, logits);  // [CLS] B-X, a B-X, b O, [SEP] B-X; labels are O and B-X
    const MetricValues values = scorer.metrics();
    EXPECT_DOUBLE_EQ(value_of(values, "precision"), 1);
    EXPECT_DOUBLE_EQ(value_of(values, "recall"), 0.5);
    EXPECT_DOUBLE_EQ(value_of(values, "accuracy"), 2.0 / 3);
    EXPECT_DOUBLE_EQ(scorer.main_metric(values), 2.0 / 3);
    EXPECT_EQ(scorer.predictions(),
              "{\"index\":0,\"prediction\":[\"B-X\",\"O\",\"O\"],\"label\":[\"B-X\",\"O\",\"B-X\"]}\n");
}

constexpr const char* question = R"({"question": "a b c", "context": "d d playing d e. c", "id": "q",
 "answers": [{"text": "playing", "answer_start": 4}]})";

std::string one_line(std::string text) {
    std::erase(text, '\n');
    return text;
}

TEST(TaskExamples, WindowsWithoutTheAnswerPointToCls) {
    Task task = make_task("answering");
    // [CLS] a b [SEP] + room of 4, sharing 2 + [SEP]; the context is d d play ##ing d e . c.
    const Dataset data =
        encode(task, "x.jsonl", one_line(question), {.max_length = 9, .doc_stride = 128, .max_query = 2});
    ASSERT_EQ(data.examples.size(), 3u);
    EXPECT_THAT(data.examples[0].sequences.at(0).ids, ElementsAre(2, 4, 5, 3, 7, 7, 8, 9, 3));
    EXPECT_THAT(data.examples[1].sequences.at(0).ids, ElementsAre(2, 4, 5, 3, 8, 9, 7, 11, 3));
    EXPECT_THAT(data.examples[2].sequences.at(0).ids, ElementsAre(2, 4, 5, 3, 7, 11, 10, 6, 3));
    const auto span = [&](size_t i) {
        const SpanLabel label = std::get<SpanLabel>(data.examples[i].label);
        return std::pair(label.start, label.end);
    };
    EXPECT_EQ(span(0), std::pair(6u, 7u));
    EXPECT_EQ(span(1), std::pair(4u, 5u));
    EXPECT_EQ(span(2), std::pair(0u, 0u));
    for (const Example& example : data.examples) EXPECT_EQ(example.record, 0u);
    EXPECT_EQ(data.windows.size(), 3u);

    Scorer scorer(task, data);
    for (uint32_t i = 0; i < 3; ++i) {
        std::vector<float> logits(18, 0.0f);
        if (i == 1) logits[4 * 2] = 3, logits[5 * 2 + 1] = 3;
        scorer.add(i, logits);
    }
    EXPECT_EQ(value_of(scorer.metrics(), "exact_match"), 100);
    EXPECT_EQ(scorer.predictions(), "{\"q\":\"playing\"}\n");
}

TEST(TaskExamples, AnAnswerThatIsCutByTheWindowIsNoAnswer) {
    Task task = make_task("answering");
    const std::string text =
        R"({"question": "a", "context": "b b b playing", "answers": [{"text": "playing", "answer_start": 6}]})";
    const Dataset data = encode(task, "x.jsonl", text, {.max_length = 8, .doc_stride = 0});
    ASSERT_EQ(data.examples.size(), 2u);  // b b b play | ##ing
    for (const Example& example : data.examples) {
        EXPECT_EQ(std::get<SpanLabel>(example.label).start, 0u);
        EXPECT_EQ(std::get<SpanLabel>(example.label).end, 0u);
    }
    test::expect_error(ErrorCode::invalid_argument, "leave no room for the context",
                       [&] { encode(task, "x.jsonl", text, {.max_length = 4}); });
}

TEST(TaskExamples, NoAnswerIsDecidedByTheMargin) {
    Task task = make_task("squad2");
    const std::string file = R"({"data": [{"paragraphs": [{"context": "a b", "qas": [
        {"id": "1", "question": "c", "answers": [{"text": "b", "answer_start": 2}]},
        {"id": "2", "question": "d", "answers": [], "is_impossible": true}]}]}]})";
    const Dataset data = encode(task, "x.json", file);
    ASSERT_EQ(data.examples.size(), 2u);
    EXPECT_EQ(std::get<SpanLabel>(data.examples[0].label).start, 4u);  // [CLS] c [SEP] a b [SEP]
    EXPECT_EQ(std::get<SpanLabel>(data.examples[1].label).start, 0u);
    Scorer scorer(task, data);
    test::expect_error(ErrorCode::invalid_argument, "example 0 has no prediction", [&] { scorer.metrics(); });
    std::vector<float> answered(12, 0.0f), refused(12, 0.0f);
    answered[4 * 2] = answered[4 * 2 + 1] = 5;
    refused[0] = refused[1] = 5;
    scorer.add(0, answered);
    scorer.add(1, refused);
    EXPECT_EQ(value_of(scorer.metrics(), "exact"), 100);
    EXPECT_EQ(value_of(scorer.metrics(), "NoAns_total"), 1);
    EXPECT_EQ(scorer.predictions(), "{\"1\":\"b\",\"2\":\"\"}\n");
    scorer.add(1, answered);
    EXPECT_EQ(value_of(scorer.metrics(), "exact"), 50);
}

TEST(TaskExamples, EachChoiceIsASequence) {
    Task task = make_task("choice");
    const Dataset data = encode(task, "x.jsonl",
                                "{\"text\": \"a\", \"choices\": [\"b\", \"c d\"], \"label\": 1}\n"
                                "{\"text\": \"a\", \"choices\": [\"b\", \"c\", \"d\"], \"label\": 0}\n");
    ASSERT_EQ(data.examples.size(), 2u);
    EXPECT_THAT(data.examples[0].sequences.at(1).ids, ElementsAre(2, 4, 3, 6, 7, 3));
    EXPECT_EQ(data.examples[0].tokens(), 11u);
    EXPECT_EQ(std::get<ChoiceLabel>(data.examples[0].label).index, 1u);
    Scorer scorer(task, data);
    scorer.add(0, row(2, 1));
    scorer.add(1, row(3, 2));
    EXPECT_EQ(value_of(scorer.metrics(), "accuracy"), 0.5);
    EXPECT_EQ(scorer.predictions(),
              "{\"index\":0,\"prediction\":1,\"label\":1}\n{\"index\":1,\"prediction\":2,\"label\":0}\n");
    test::expect_error(ErrorCode::invalid_argument, "2 logits for an example that has 3 x 1",
                       [&] { scorer.add(1, row(2, 0)); });
}

TEST(TaskExamples, ClassesAndValuesAreScored) {
    Task task = make_task("mrpc");
    const Dataset data = encode(task, "x.tsv", "Quality\t#1 String\t#2 String\n1\ta\tb\n0\ta\tb\n1\ta\tb\n");
    Scorer scorer(task, data);
    for (uint32_t i = 0; i < 3; ++i) scorer.add(i, row(2, i == 2 ? 0 : i == 0));
    EXPECT_DOUBLE_EQ(value_of(scorer.metrics(), "accuracy"), 2.0 / 3);
    EXPECT_DOUBLE_EQ(scorer.main_metric(scorer.metrics()), 2.0 / 3);
    EXPECT_THAT(scorer.confusion(), ElementsAre(1, 0, 1, 1));
    EXPECT_TRUE(scorer.predictions().starts_with(
        "{\"index\":0,\"prediction\":\"equivalent\",\"label\":\"equivalent\"}\n"));

    Task stsb = make_task("stsb");
    const Dataset values =
        encode(stsb, "x.tsv", "sentence1\tsentence2\tscore\na\tb\t1.5\na\tb\t2\na\tb\t5\n");
    EXPECT_EQ(std::get<ValueLabel>(values.examples.at(0).label).value, 1.5f);
    Scorer regression(stsb, values);
    for (uint32_t i = 0; i < 3; ++i) regression.add(i, std::vector<float>{float(i * i)});
    EXPECT_DOUBLE_EQ(value_of(regression.metrics(), "spearman"), 1);
    EXPECT_TRUE(regression.confusion().empty());
    test::expect_error(ErrorCode::failed, "x.tsv:3: the model's logits are not finite",
                       [&] { regression.add(1, std::vector<float>{NAN}); });
}

TEST(TaskExamples, TheModelMustHaveRowsForEveryToken) {
    Task task = make_task("rte");
    const Dataset data = encode(task, "x.tsv", "sentence1\tsentence2\tlabel\na\te\tentailment\n");
    Config config;
    config.vocab_size = 12;
    config.max_position_embeddings = 5;
    data.check_fits(config);
    const auto refused = [&](const std::string& part, auto&& change) {
        Config other = config;
        change(other);
        test::expect_error(ErrorCode::invalid_input, part, [&] { data.check_fits(other); });
    };
    refused("record 1: word piece 11, where the model has 11", [](Config& c) { c.vocab_size = 11; });
    refused("record 1: segment 1, where the model has 1", [](Config& c) { c.type_vocab_size = 1; });
    refused("record 1: position 4, where the model has 4", [](Config& c) { c.max_position_embeddings = 4; });
}

TEST(TaskExamples, TrainedConfigsNameHeadLabelsAndProblem) {
    Config pretrained;
    pretrained.labels = {"LABEL_0", "LABEL_1"};
    const Config sst2 = trained_config(pretrained, make_task("sst2"));
    EXPECT_THAT(sst2.architectures, ElementsAre("BertForSequenceClassification"));
    EXPECT_THAT(sst2.labels, ElementsAre("negative", "positive"));
    EXPECT_EQ(sst2.problem_type, "single_label_classification");
    const Config stsb = trained_config(pretrained, make_task("stsb"));
    EXPECT_THAT(stsb.labels, ElementsAre("LABEL_0"));
    EXPECT_EQ(stsb.problem_type, "regression");
    EXPECT_THAT(trained_config(sst2, make_task("squad")).labels, ElementsAre("LABEL_0", "LABEL_1"));
    EXPECT_THAT(trained_config(sst2, make_task("swag")).architectures, ElementsAre("BertForMultipleChoice"));
    const Config again = parse_config(config_json(sst2), "config.json");
    EXPECT_EQ(again.labels, sst2.labels);
    EXPECT_EQ(again.architectures, sst2.architectures);
    EXPECT_EQ(again.problem_type, sst2.problem_type);
}

// Each file with each of its bits flipped is read or refused with an Error; more under the asan preset.
TEST(TaskExamples, EveryFlippedBitIsReadOrRefused) {
    struct Case {
        const char *task, *name, *text;
    };
    const Case cases[] = {
        {"rte", "x.tsv", "sentence1\tsentence2\tlabel\na b\tc\tentailment\n"},
        {"swag", "x.csv", "sent1,sent2,ending0,ending1,ending2,ending3,label\n\"a, b\",c,\"d\",e,a,b,2\n"},
        {"tagging", "x.jsonl", "{\"words\":[\"a\",\"b\"],\"labels\":[\"O\",\"B-X\"]}\n"},
        {"ner", "x.txt", "-DOCSTART- O\n\na X B-X\nb X O\n\nc X O\n"},
        {"squad2", "x.json",
         R"({"data":[{"paragraphs":[{"context":"a é c","qas":[{"id":"1","question":"b","answers":[{"text":"c","answer_start":4}]}]}]}]})"},
        {"answering", "x.tsv", "question\tcontext\tanswer\tbegin\na\tb c d\tc\t2\n"},
    };
    size_t read = 0, refused = 0;
    for (const Case& one : cases)
        for (size_t bit = 0; bit < 8 * std::strlen(one.text); ++bit) {
            std::string text = one.text;
            text[bit / 8] = char(text[bit / 8] ^ (1 << bit % 8));
            Task task = make_task(one.task);
            try {
                const Dataset data = encode(task, one.name, text, {.max_length = 12});
                EXPECT_FALSE(data.examples.empty());
                ++read;
            } catch (const Error& error) {
                EXPECT_EQ(std::string(error.what()).find('\n'), std::string::npos) << error.what();
                ++refused;
            }
        }
    // Most bytes are names, separators and labels; flips of the free text are read.
    EXPECT_GT(read, 100u);
    EXPECT_GT(refused, 1000u);
}

// Every question of a real set: the labelled tokens of some window are the answer's text.
TEST(TaskExamples, LabelsOfRealQuestionsCoverTheirAnswers) {
    const auto data_folder = test::test_data();
    if (!std::filesystem::exists(data_folder / "squad")) GTEST_SKIP() << "no test data (VKBERT_TEST_DATA)";
    const Tokenizer uncased =
        Tokenizer::from_vocabulary_file(data_folder / "vocab/bert-base-uncased-vocab.txt");
    const Task task = make_task("squad");
    const Dataset data =
        encode_records(task, read_records(task, data_folder / "squad/dev-v1.1-finetune-eval.json"), uncased,
                       {.max_length = 384, .for_scoring = true});
    std::vector<bool> labelled(data.record_count);
    Scorer scorer(task, data);
    for (uint32_t i = 0; i < data.examples.size(); ++i) {
        const SpanLabel span = std::get<SpanLabel>(data.examples[i].label);
        std::vector<float> logits(data.examples[i].tokens() * 2, 0.0f);
        logits[span.start * 2] = logits[span.end * 2 + 1] = span.start ? 9 : 1;
        scorer.add(i, logits);
        if (span.start) labelled[data.examples[i].record] = true;
        ASSERT_LE(data.examples[i].tokens(), 384u);
    }
    EXPECT_EQ(std::ranges::count(labelled, true), 1339);
    // Whole words of an answer can be wider than it ("1066-1087" for "1066"); longer ones than 30 tokens are
    // lost.
    EXPECT_GT(value_of(scorer.metrics(), "f1"), 98);
}

}  // namespace
}  // namespace vkbert
