// Tasks' files as records: GLUE's, CoNLL's, SQuAD's and SWAG's own formats, generic ones by --columns, and
// files that are refused with file and line.
#include "bert/tasks/records.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/file_test.hpp"

namespace vkbert {
namespace {

using test::TemporaryFolder;
using testing::ElementsAre;

Records read(const Task& task, const std::string& name, std::string_view text) {
    const TemporaryFolder folder;
    return read_records(task, folder.write(name, text));
}
void expect_refused(const Task& task, const std::string& name, std::string_view text,
                    const std::string& part) {
    test::expect_error(ErrorCode::invalid_input, part, [&] { read(task, name, text); });
}

TEST(TaskRecords, GlueWithHeaderAndWithout) {
    const Records sst2 =
        read(make_task("sst2"), "train.tsv", "sentence\tlabel\nit 's \"good\t1\nbad \t0\r\n");
    ASSERT_EQ(sst2.rows.size(), 2u);
    EXPECT_EQ(sst2.rows[0].text, "it 's \"good");
    EXPECT_FALSE(sst2.rows[0].pair);
    EXPECT_EQ(sst2.rows[1].label, "0");
    EXPECT_TRUE(sst2.rows[1].where.ends_with("train.tsv:3"));

    const Records cola = read(make_task("cola"), "x.tsv", "gj04\t1\t\tThe ropes.\ncj99\t0\t*\tAs you eat.");
    ASSERT_EQ(cola.rows.size(), 2u);
    EXPECT_EQ(cola.rows[1].text, "As you eat.");
    EXPECT_EQ(cola.rows[1].label, "0");

    const Records mrpc = read(make_task("mrpc"), "x.tsv",
                              "\xEF\xBB\xBFQuality\t#1 ID\t#2 ID\t#1 String\t#2 String\n1\t2\t3\tone\ttwo\n");
    EXPECT_EQ(mrpc.rows.at(0).pair, "two");

    const Task mnli = make_task("mnli");
    const Records pairs = read(mnli, "x.tsv", "index\tsentence1\tsentence2\tgold_label\n0\tA\tB\tneutral\n");
    EXPECT_EQ(mnli.label_index(pairs.rows.at(0).label, ""), 1u);
    const Records stsb = read(make_task("stsb"), "x.tsv", "sentence1\tsentence2\tscore\nA\tB\t3.800\n");
    EXPECT_EQ(stsb.rows.at(0).label, "3.800");
}

TEST(TaskRecords, QuestionPairsOfQqpWithMissingColumnsAreLeftOut) {
    const Records qqp = read(make_task("qqp"), "x.tsv",
                             "id\tqid1\tqid2\tquestion1\tquestion2\tis_duplicate\n0\t1\t2\tA\tB\t1\n3\t4\n");
    EXPECT_EQ(qqp.rows.size(), 1u);
    EXPECT_EQ(qqp.skipped, 1u);
}

TEST(TaskRecords, FaultsOfTablesAreNamedWithFileAndLine) {
    const Task sst2 = make_task("sst2");
    expect_refused(sst2, "x.tsv", "sentence\tlabel\na\t1\nb\t1\tc\n",
                   "x.tsv:3: 3 columns, where the header has 2");
    expect_refused(sst2, "x.tsv", "sentence\tlabel\na\t2\n",
                   "x.tsv:2: the label is '2', which is none of 0, 1");
    expect_refused(sst2, "x.tsv", "label\tsentence\nsome text\t1\n", "x.tsv:2: the label is 'some text'");
    expect_refused(sst2, "x.tsv", "text\tlabel\na\t1\n",
                   "x.tsv:2: no column \"sentence\"; there are text, label");
    expect_refused(sst2, "x.tsv", "sentence\tlabel\na\xFF\t1\n", "x.tsv:2: byte 2 of the line is not UTF-8");
    expect_refused(sst2, "x.tsv", "sentence\tlabel\n", "holds no examples");
    expect_refused(sst2, "x.tsv", "", "the file is empty");
    expect_refused(sst2, "x.tsv", "\n\n", "has no header");
    expect_refused(make_task("stsb"), "x.tsv", "sentence1\tsentence2\tscore\nA\tB\tfine\n",
                   "x.tsv:2: the label is 'fine', which is no number");
    expect_refused(make_task("stsb"), "x.tsv", "sentence1\tsentence2\tscore\nA\tB\tnan\n", "no number");
    test::expect_error(ErrorCode::invalid_input, "/no/such/file",
                       [&] { read_records(sst2, "/no/such/file"); });
}

TEST(TaskRecords, GenericColumnsByNameAndByNumber) {
    const Task named = make_task("classification", parse_columns("text=a,pair=b,label=c"));
    const Records tsv = read(named, "x.tsv", "c\ta\tb\ngood\tone\ttwo\n");
    EXPECT_EQ(tsv.rows.at(0).text, "one");
    EXPECT_EQ(tsv.rows.at(0).pair, "two");
    const Records json = read(named, "x.jsonl", "{\"a\": \"one\", \"b\": \"two\", \"c\": 1}\n\n");
    EXPECT_EQ(json.rows.at(0).label, "1");
    EXPECT_EQ(json.rows.at(0).pair, "two");
    const Records csv = read(named, "x.csv", "a,b,c\n\"one, \"\"1\"\"\",\"two\nlines\",good\n\"x\",y,bad\n");
    EXPECT_EQ(csv.rows.at(0).text, "one, \"1\"");
    EXPECT_EQ(csv.rows.at(0).pair, "two\nlines");
    EXPECT_TRUE(csv.rows.at(1).where.ends_with("x.csv:4"));
    const Task numbered = make_task("regression", parse_columns("text=2,label=1"));
    EXPECT_EQ(read(numbered, "x.tsv", "1.5\tone\n-2\ttwo\n").rows.size(), 2u);

    const Task plain = make_task("classification");
    EXPECT_FALSE(read(plain, "x.jsonl", R"({"text": "a", "pair": null, "label": true})").rows.at(0).pair);
    expect_refused(plain, "x.csv", "text,label\n\"a,b\n", "a double quote that is never closed");
    expect_refused(plain, "x.csv", "text,label\na\"b\",c\n", "x.csv:2: a double quote inside");
    expect_refused(plain, "x.jsonl", "{\"text\": \"a\"\n", "x.jsonl:1");
    expect_refused(plain, "x.jsonl", "[1]", "x.jsonl:1: no JSON object");
    expect_refused(plain, "x.jsonl", R"({"text": ["a"], "label": 1})", "\"text\" is no text");
    expect_refused(plain, "x.jsonl", R"({"text": "a"})", "no column \"label\"; there are text");
}

TEST(TaskRecords, LabelsOfGenericTasksComeFromTheTrainingFile) {
    Task task = make_task("classification");
    learn_labels(task, read(task, "x.tsv", "text\tlabel\na\tred\nb\tblue\nc\tred\n"));
    EXPECT_THAT(task.labels, ElementsAre("blue", "red"));
    expect_refused(task, "x.tsv", "text\tlabel\na\tgreen\n", "'green', which is none of blue, red");

    Task numbers = make_task("classification");
    learn_labels(numbers, read(numbers, "x.tsv", "text\tlabel\na\t10\nb\t9\nc\t9\n"));
    EXPECT_THAT(numbers.labels, ElementsAre("9", "10"));

    const auto refused = [&](const std::string& text, const std::string& part) {
        Task fresh = make_task("classification");
        const Records records = read(fresh, "x.tsv", "text\tlabel\n" + text);
        test::expect_error(ErrorCode::invalid_input, part, [&] { learn_labels(fresh, records); });
    };
    refused("a\tx\nb\tx\n", "all labels are 'x'");
    refused("a\t\n", "is it the right column?");
    refused("x\t" + std::string(200, 'y') + "\n", "is it the right column?");
    std::string swapped;
    for (int i = 0; i < 12; ++i) swapped += fmt::format("good\tsentence {}\n", i);
    refused(swapped, "every record has a label of its own");
}

TEST(TaskRecords, ConllColumns) {
    Task ner = make_task("ner");
    const Records records =
        read(ner, "train.txt",
             "-DOCSTART- -X- -X- O\n\nEU NNP B-NP B-ORG\nrejects VBZ B-VP O\n\n \nPeter NNP B-NP "
             "B-PER\n");
    ASSERT_EQ(records.rows.size(), 2u);
    EXPECT_THAT(records.rows[0].words, ElementsAre("EU", "rejects"));
    EXPECT_THAT(records.rows[0].tags, ElementsAre("B-ORG", "O"));
    EXPECT_TRUE(records.rows[0].where.ends_with("train.txt:3"));
    learn_labels(ner, records);
    EXPECT_THAT(ner.labels, ElementsAre("O", "B-ORG", "B-PER"));
    expect_refused(ner, "x.txt", "EU B-ORG\nin X O\n", "x.txt:2: 3 columns, where the first line has 2");
    expect_refused(ner, "x.txt", "EU B-LOC\n",
                   "x.txt:1: the label is 'B-LOC', which is none of O, B-ORG, B-PER");
    expect_refused(ner, "x.txt", "EU\n", "x.txt:1: one column");
    expect_refused(ner, "x.txt", "-DOCSTART- O\n", "holds no examples");
}

TEST(TaskRecords, GenericTagging) {
    const Task tagging = make_task("tagging");
    EXPECT_THAT(read(tagging, "x.tsv", "New York\tB\nis\tO\n\n").rows.at(0).words,
                ElementsAre("New York", "is"));
    const Task named = make_task("tagging", parse_columns("text=form,label=tag"));
    EXPECT_THAT(read(named, "x.tsv", "id\ttag\tform\n1\tO\thi\n").rows.at(0).words, ElementsAre("hi"));
    const Task numbered = make_task("tagging", parse_columns("text=2,label=1"));
    EXPECT_THAT(read(numbered, "x.tsv", "O\thi\n").rows.at(0).tags, ElementsAre("O"));
    EXPECT_THAT(read(tagging, "x.jsonl", R"({"words": ["a", "b"], "labels": ["O", "X"]})").rows.at(0).tags,
                ElementsAre("O", "X"));
    expect_refused(tagging, "x.jsonl", R"({"words": ["a", "b"], "labels": ["O"]})", "2 words and 1 labels");
    expect_refused(tagging, "x.jsonl", R"({"words": [], "labels": []})", "no words");
    expect_refused(named, "x.tsv", "a\tb\nx\tO\n", "no column \"form\"");
    expect_refused(numbered, "x.tsv", "only\n", "one column");
    expect_refused(tagging, "x.tsv", "\tO\n", "an empty word");
}

TEST(TaskRecords, Choices) {
    const Task swag = make_task("swag");
    const Records csv =
        read(swag, "val.csv",
             ",video-id,sent1,sent2,ending0,ending1,ending2,ending3,label\n0,v,\"A, b.\",He,\"w\",x,y,z,3\n");
    EXPECT_EQ(csv.rows.at(0).text, "A, b.");
    EXPECT_THAT(csv.rows.at(0).choices, ElementsAre("He w", "He x", "He y", "He z"));
    EXPECT_EQ(csv.rows.at(0).label, "3");
    const Task choice = make_task("choice");
    EXPECT_THAT(
        read(choice, "x.jsonl", R"({"text": "a", "choices": ["b", "c"], "label": 1})").rows.at(0).choices,
        ElementsAre("b", "c"));
    EXPECT_THAT(read(choice, "x.tsv", "text\tchoice0\tchoice1\tlabel\na\tb\tc\t0\n").rows.at(0).choices,
                ElementsAre("b", "c"));
    const Task columns = make_task("choice", parse_columns("text=1,choices=2+3+4,label=5"));
    EXPECT_EQ(read(columns, "x.tsv", "a\tb\tc\td\t2\n").rows.at(0).choices.size(), 3u);
    expect_refused(columns, "x.tsv", "a\tb\tc\td\t3\n",
                   "x.tsv:1: the label is '3', where the choices are 0 to 2");
    expect_refused(choice, "x.jsonl", R"({"text": "a", "choices": ["b"], "label": 0})", "1 choices");
}

constexpr const char* squad_file = R"({"version": "v2.0", "data": [{"title": "t", "paragraphs": [{
    "context": "Zürich is in Switzerland.", "qas": [
    {"id": "q1", "question": "Where?", "answers": [{"text": "Switzerland", "answer_start": 13}]},
    {"id": "q2", "question": "Why?", "answers": [], "is_impossible": true}]}]}]})";

TEST(TaskRecords, SquadCountsCharacters) {
    const Records records = read(make_task("squad2"), "dev.json", squad_file);
    ASSERT_EQ(records.rows.size(), 2u);
    EXPECT_EQ(records.contexts.size(), 1u);
    EXPECT_EQ(records.rows[0].answers.at(0).begin, 13u);
    EXPECT_TRUE(records.rows[1].answers.empty());
    expect_refused(make_task("squad"), "dev.json", squad_file, "question q2: has no answer; task squad2");

    std::string moved = squad_file;
    moved.replace(moved.find("13"), 2, "14");
    expect_refused(
        make_task("squad2"), "dev.json", moved,
        "question q1: the context has 'witzerland.' at character 14, not the answer 'Switzerland'");
    std::string twice = squad_file;
    twice.replace(twice.find("q2"), 2, "q1");
    expect_refused(make_task("squad2"), "dev.json", twice, "question q1: is there twice");
    expect_refused(make_task("squad"), "dev.json", R"({"data": [{"paragraphs": 3}]})",
                   "not in SQuAD's format");
    expect_refused(make_task("squad"), "dev.json", R"({"data": []})", "holds no examples");
    expect_refused(make_task("squad"), "dev.json", "{", "not valid JSON");
}

TEST(TaskRecords, GenericAnswering) {
    const Task task = make_task("answering");
    const Records json = read(
        task, "x.jsonl",
        R"({"question": "Q", "context": "a b c", "answers": [{"text": "b", "answer_start": 2}], "id": "7"})"
        "\n"
        R"({"question": "R", "context": "a b c", "answers": {"text": ["c"], "answer_start": [4]}})");
    ASSERT_EQ(json.rows.size(), 2u);
    EXPECT_EQ(json.contexts.size(), 1u);
    EXPECT_EQ(json.rows[0].id, "7");
    EXPECT_EQ(json.rows[1].answers.at(0).text, "c");
    const Records table = read(task, "x.tsv", "question\tcontext\tanswer\tbegin\nQ\ta b\tb\t2\nR\ta b\t\t\n");
    EXPECT_EQ(table.rows.at(0).answers.at(0).begin, 2u);
    EXPECT_TRUE(table.rows.at(1).answers.empty());
    expect_refused(task, "x.tsv", "question\tcontext\tanswer\tbegin\nQ\ta b\tb\tx\n",
                   "x.tsv:2: the answer begins at 'x'");
    expect_refused(task, "x.jsonl", R"({"question": "Q", "context": "a"})",
                   "x.jsonl:1: is not in SQuAD's format");
}

TEST(Tasks, NamesRolesAndColumnsAreChecked) {
    EXPECT_EQ(task_names().size(), 18u);
    for (const std::string& name : task_names()) {
        const Task task = make_task(name);
        EXPECT_EQ(task.name, name);
        EXPECT_FALSE(task.metrics.empty());
        EXPECT_THAT(task.metrics, testing::Contains(task.main_metric));
    }
    const auto refused = [](const std::string& part, auto&& work) {
        test::expect_error(ErrorCode::invalid_argument, part, work);
    };
    refused("task 'sst3' is unknown; there are sst2, cola", [] { make_task("sst3"); });
    refused("task sst2 has its own columns", [] { make_task("sst2", parse_columns("text=a")); });
    refused("columns: task regression has text, pair, label, not 'context'",
            [] { make_task("regression", parse_columns("context=a")); });
    refused("text is one column, not 2", [] { make_task("regression", parse_columns("text=a+b")); });
    for (const char* bad : {"text", "=a", "text=", ",", "text=a,,label=b"})
        refused("it must read ROLE=NAME", [&] { parse_columns(bad); });
}

TEST(Tasks, LabelsOfATrainedModelGiveTheOrder) {
    Task mnli = make_task("mnli");
    mnli.use_labels({"CONTRADICTION", "ENTAILMENT", "NEUTRAL"});
    EXPECT_EQ(mnli.label_index("entailment", ""), 1u);
    mnli = make_task("mnli");
    mnli.use_labels({"LABEL_0", "LABEL_1", "LABEL_2"});
    EXPECT_EQ(mnli.label_index("entailment", ""), 0u);
    Task sst2 = make_task("sst2");
    sst2.use_labels({"POSITIVE", "NEGATIVE"});
    EXPECT_EQ(sst2.label_index("0", ""), 1u);
    test::expect_error(ErrorCode::invalid_input, "the model's labels (a, b) are not those of task sst2", [&] {
        sst2.use_labels({"a", "b"});
    });
    Task generic = make_task("classification");
    generic.use_labels({"x", "y"});
    EXPECT_EQ(generic.label_index("y", ""), 1u);
    generic = make_task("classification");
    generic.use_labels({"LABEL_0", "LABEL_1"});
    EXPECT_EQ(generic.label_index("1", ""), 1u);
}

// What SOURCES of the test data and the data sets' papers say.
TEST(TaskRecords, RealFilesHaveTheirPublishedCounts) {
    const auto data = test::test_data();
    if (!std::filesystem::exists(data / "sst2")) GTEST_SKIP() << "no test data (VKBERT_TEST_DATA)";
    const auto count = [&](const char* task, const char* file) {
        return read_records(make_task(task), data / file).rows.size();
    };
    EXPECT_EQ(count("sst2", "sst2/train.tsv"), 67349u);
    EXPECT_EQ(count("sst2", "sst2/dev.tsv"), 872u);
    EXPECT_EQ(count("mrpc", "mrpc/train.tsv"), 3668u);
    EXPECT_EQ(count("mrpc", "mrpc/dev.tsv"), 408u);
    EXPECT_EQ(count("cola", "cola/train.tsv"), 8551u);
    EXPECT_EQ(count("cola", "cola/dev.tsv"), 1043u);
    EXPECT_EQ(count("stsb", "stsb/train.tsv"), 5749u);
    EXPECT_EQ(count("stsb", "stsb/dev.tsv"), 1500u);
    EXPECT_EQ(count("rte", "rte/train.tsv"), 2490u);
    EXPECT_EQ(count("rte", "rte/dev.tsv"), 277u);
    EXPECT_EQ(count("qnli", "qnli/dev.tsv"), 5463u);
    EXPECT_EQ(count("wnli", "wnli/train.tsv"), 635u);
    EXPECT_EQ(count("wnli", "wnli/dev.tsv"), 71u);
    EXPECT_EQ(count("squad", "squad/dev-v1.1-finetune-train.json"), 9231u);
    EXPECT_EQ(count("squad", "squad/dev-v1.1-finetune-eval.json"), 1339u);
    EXPECT_EQ(count("squad", "squad/train-subset-4330.json"), 4330u);
    EXPECT_EQ(count("swag", "swag/swag_sample10.jsonl"), 10u);

    const Task codah = make_task("choice", parse_columns("text=2,choices=3+4+5+6,label=7"));
    EXPECT_EQ(read_records(codah, data / "swag/codah_full_data.tsv").rows.size(), 2776u);
    const Records squad2 = read_records(make_task("squad2"), data / "squad/dev-v2.0-cs224n.json");
    EXPECT_EQ(squad2.rows.size(), 6078u);
    EXPECT_EQ(std::ranges::count_if(squad2.rows, [](auto& row) { return row.answers.empty(); }), 3168);

    Task ner = make_task("ner");
    const Records train = read_records(ner, data / "conll2003/train.txt");
    learn_labels(ner, train);
    EXPECT_THAT(ner.labels,
                ElementsAre("O", "B-LOC", "B-MISC", "B-ORG", "B-PER", "I-LOC", "I-MISC", "I-ORG", "I-PER"));
    const Records valid = read_records(ner, data / "conll2003/valid.txt");
    const auto words = [](const Records& records) {
        size_t sum = 0;
        for (const Record& record : records.rows) sum += record.words.size();
        return sum;
    };
    EXPECT_EQ(train.rows.size(), 14041u);
    EXPECT_EQ(words(train), 203621u);
    EXPECT_EQ(valid.rows.size(), 3250u);
    EXPECT_EQ(words(valid), 51362u);
}

}  // namespace
}  // namespace vkbert
