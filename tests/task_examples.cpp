// What tests/parity/task_parity.py compares with transformers: the examples of a task's file, a JSON object a
// line.
//   task_examples MODEL_FOLDER TASK FILE MAX_LENGTH
#include <cstdio>
#include <exception>
#include <nlohmann/json.hpp>

#include "bert/tasks/dataset.hpp"

static nlohmann::json label_json(const vkbert::Label& label) {
    using namespace vkbert;
    if (const auto* one = std::get_if<ClassLabel>(&label)) return one->index;
    if (const auto* one = std::get_if<ValueLabel>(&label)) return one->value;
    if (const auto* one = std::get_if<ChoiceLabel>(&label)) return one->index;
    if (const auto* one = std::get_if<SpanLabel>(&label)) return {one->start, one->end};
    nlohmann::json list = nlohmann::json::array();
    for (const uint32_t tag : std::get<TokenLabels>(label).labels)
        list.push_back(tag == ignored_label ? -100 : int64_t(tag));
    return list;
}

int main(int count, char** arguments) try {
    using namespace vkbert;
    if (count != 5) throw std::runtime_error("task_examples MODEL_FOLDER TASK FILE MAX_LENGTH");
    Task task = make_task(arguments[2]);
    Records records = read_records(task, arguments[3]);
    learn_labels(task, records);
    ExampleOptions options;
    options.max_length = uint32_t(std::stoul(arguments[4]));
    const Dataset data =
        encode_records(task, std::move(records), Tokenizer::from_folder(arguments[1]), options);
    std::printf("%s\n", nlohmann::json(task.labels).dump().c_str());
    for (const Example& example : data.examples) {
        nlohmann::json line{{"record", example.record}, {"label", label_json(example.label)}};
        for (const TokenSequence& sequence : example.sequences) {
            line["ids"].push_back(sequence.ids);
            line["types"].push_back(sequence.types);
        }
        std::printf("%s\n", line.dump().c_str());
    }
    return 0;
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 1;
}
