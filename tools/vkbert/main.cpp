#include <cstdio>

int main() {
    std::puts("vkbert " VKBERT_VERSION);
    return 0;
}
