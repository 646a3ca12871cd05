/* Preloaded into a program on llama.cpp: every matrix product sums in fp32, as ours do, so that llama.cpp's backend chooses its
 * own kernel for the same arithmetic. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>

struct ggml_context;
struct ggml_tensor;
enum { GGML_PREC_F32 = 10 };

struct ggml_tensor* ggml_mul_mat(struct ggml_context* context, struct ggml_tensor* a, struct ggml_tensor* b);

struct ggml_tensor* ggml_mul_mat(struct ggml_context* context, struct ggml_tensor* a, struct ggml_tensor* b) {
    static struct ggml_tensor* (*next)(struct ggml_context*, struct ggml_tensor*, struct ggml_tensor*);
    static bool (*set_precision)(struct ggml_tensor*, int);
    if (!next) {
        next = (struct ggml_tensor * (*)(struct ggml_context*, struct ggml_tensor*, struct ggml_tensor*)) dlsym(RTLD_NEXT, "ggml_mul_mat");
        set_precision = (bool (*)(struct ggml_tensor*, int))dlsym(RTLD_NEXT, "ggml_prec_set_acc");
    }
    struct ggml_tensor* product = next(context, a, b);
    set_precision(product, GGML_PREC_F32);
    return product;
}
