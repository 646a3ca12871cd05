/* Preloaded into a program on llama.cpp: every matrix product sums in fp32, as ours do, so that llama.cpp's backend chooses its
 * own kernel for the same arithmetic. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <stdbool.h>

struct ggml_context;
struct ggml_tensor;
enum { GGML_PREC_F32 = 10 };

typedef struct ggml_tensor* product_function(struct ggml_context*, struct ggml_tensor*, struct ggml_tensor*);
typedef bool precision_function(struct ggml_tensor*, int);

struct ggml_tensor* ggml_mul_mat(struct ggml_context* context, struct ggml_tensor* a, struct ggml_tensor* b) {
    static product_function* next;
    static precision_function* set_precision;
    if (!next) {
        next = (product_function*)dlsym(RTLD_NEXT, "ggml_mul_mat");
        set_precision = (precision_function*)dlsym(RTLD_NEXT, "ggml_prec_set_acc");
    }
    struct ggml_tensor* product = next(context, a, b);
    set_precision(product, GGML_PREC_F32);
    return product;
}
