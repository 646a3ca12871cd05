// similarity: how alike texts are, from what `vkbert embed` prints.
//
//     vkbert embed --model M --input sentences.txt | similarity sentences.txt
#include <fmt/core.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace {

using Embedding = std::vector<double>;

double cosine(const Embedding& a, const Embedding& b) {
    double ab = 0, aa = 0, bb = 0;
    for (size_t i = 0; i < a.size(); i++) ab += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return ab / std::sqrt(aa * bb);
}

std::vector<std::string> read_lines(const std::string& path) {
    std::ifstream file(path);
    if (!file) throw std::runtime_error(path + ": cannot be read");
    std::vector<std::string> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(line);
    return lines;
}

std::vector<Embedding> read_embeddings(std::istream& in, size_t expected) {
    std::vector<Embedding> all;
    for (std::string line; std::getline(in, line);)
        all.push_back(nlohmann::json::parse(line).at("embedding").get<Embedding>());
    if (all.size() != expected)
        throw std::runtime_error(fmt::format("{} texts, but {} embeddings", expected, all.size()));
    for (const Embedding& embedding : all)
        if (embedding.size() != all[0].size() || !std::isfinite(cosine(embedding, embedding)))
            throw std::runtime_error("embeddings of different length, or not finite");
    return all;
}

void print_table(const std::vector<std::string>& texts, const std::vector<Embedding>& embeddings) {
    size_t width = 0;
    for (const std::string& text : texts) width = std::max(width, text.size());
    fmt::print("{:{}}    ", "", width);
    for (size_t j = 0; j < texts.size(); j++) fmt::print("{:6}", j + 1);
    fmt::print("  closest\n");
    for (size_t i = 0; i < texts.size(); i++) {
        fmt::print("{:2}  {:{}}", i + 1, texts[i], width);
        size_t closest = i == 0 ? 1 : 0;
        for (size_t j = 0; j < texts.size(); j++) {
            const double similarity = cosine(embeddings[i], embeddings[j]);
            if (j != i && similarity > cosine(embeddings[i], embeddings[closest])) closest = j;
            fmt::print("{:6.2f}", similarity);
        }
        fmt::print("  {:7}\n", closest + 1);
    }
}

}  // namespace

int main(int argc, char** argv) {
    if (argc != 2) {
        fmt::print(stderr, "usage: vkbert embed --model M --input TEXTS | similarity TEXTS\n");
        return 2;
    }
    try {
        const auto texts = read_lines(argv[1]);
        if (texts.size() < 2) throw std::runtime_error("needs at least two texts");
        print_table(texts, read_embeddings(std::cin, texts.size()));
        return 0;
    } catch (const std::exception& error) {
        fmt::print(stderr, "similarity: {}\n", error.what());
        return 2;
    }
}
