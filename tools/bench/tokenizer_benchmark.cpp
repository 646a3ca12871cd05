// Times the tokenizer for tokenizer_compare.py: loads a vocabulary and a file of texts (one a line), then for
// every line on standard input encodes all texts once and prints `seconds tokens`. First line printed:
// seconds to load the vocabulary from the file to ready.
//
//   tokenizer_benchmark vocab.txt|FOLDER texts.txt [cased]
#include <cstdio>
#include <ctime>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <string>
#include <vector>

#include "bert/tokenizer/tokenizer.hpp"

namespace {

// Of this process, so that a busy machine does not count.
double cpu_seconds() {
    return static_cast<double>(std::clock()) / CLOCKS_PER_SEC;
}

int run(const std::string& source, const char* file, bool cased) {
    const double start = cpu_seconds();
    vkbert::TokenizerOptions options;
    options.lowercase = !cased;
    const auto tokenizer = std::filesystem::is_directory(source)
                               ? vkbert::Tokenizer::from_folder(source)
                               : vkbert::Tokenizer::from_vocabulary_file(source, options);
    std::printf("%.6f\n", cpu_seconds() - start);
    std::fflush(stdout);
    std::vector<std::string> texts;
    std::ifstream stream(file);
    for (std::string line; std::getline(stream, line);) texts.push_back(std::move(line));
    vkbert::Encoding encoding;
    for (std::string line; std::getline(std::cin, line);) {
        size_t tokens = 0;
        const double begin = cpu_seconds();
        for (const std::string& text : texts) {
            tokenizer.encode(text, std::nullopt, {}, encoding);
            tokens += encoding.size();
        }
        std::printf("%.6f %zu\n", cpu_seconds() - begin, tokens);
        std::fflush(stdout);
    }
    return 0;
}

}  // namespace

int main(int argc, char** argv) try {
    return argc < 3 ? 2 : run(argv[1], argv[2], argc > 3);
} catch (const std::exception& error) {
    std::fprintf(stderr, "%s\n", error.what());
    return 2;
}
