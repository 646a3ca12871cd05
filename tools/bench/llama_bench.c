/* Times llama.cpp on a BERT in GGUF.
 *     llama_bench MODEL.gguf vk|cpu B L REPEATS THREADS   B sequences of L tokens a batch: median seconds, two warm-ups
 *     llama_bench MODEL.gguf vk|cpu TEXT                  loads the model and encodes one text once, for start-up times
 * Build: gcc -O2 -o llama_bench llama_bench.c -lllama -lggml -lggml-base -lm
 * On a CPU Vulkan driver set GGML_VK_VISIBLE_DEVICES=0 (else ggml passes over CPU-type devices), and
 * GGML_VK_DISABLE_COOPMAT=1 GGML_VK_DISABLE_F16=1, its best settings there. */
#include <ggml-backend.h>
#include <llama.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

static double now(void) {
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int ascending(const void* a, const void* b) {
    double x = *(const double*)a, y = *(const double*)b;
    return x < y ? -1 : x > y;
}

static void only_errors(enum ggml_log_level level, const char* text, void* user) {
    (void)user;
    if (level >= GGML_LOG_LEVEL_ERROR) {
        fputs(text, stderr);
    }
}

static struct llama_model* load(const char* file, int gpu) {
    struct llama_model_params params = llama_model_default_params();
    ggml_backend_dev_t no_device[1] = {0};
    params.n_gpu_layers = gpu ? 99 : 0;
    if (!gpu) {
        params.devices = no_device;
    }
    return llama_model_load_from_file(file, params);
}

static struct llama_context* open_context(struct llama_model* model, int tokens, int sequences, int threads) {
    struct llama_context_params params = llama_context_default_params();
    params.n_ctx = params.n_batch = params.n_ubatch = (uint32_t)tokens;
    params.n_seq_max = (uint32_t)sequences;
    params.n_threads = params.n_threads_batch = threads;
    params.embeddings = 1;
    params.pooling_type = LLAMA_POOLING_TYPE_MEAN;
    params.kv_unified = 1;
    return llama_init_from_model(model, params);
}

static void put(struct llama_batch* batch, llama_token token, int position, int sequence) {
    int k = batch->n_tokens++;
    batch->token[k] = token;
    batch->pos[k] = position;
    batch->n_seq_id[k] = 1;
    batch->seq_id[k][0] = sequence;
    batch->logits[k] = 1;
}

static double checksum(struct llama_context* context, int sequences, int width) {
    double sum = 0;
    for (int q = 0; q < sequences; q++) {
        const float* embedding = llama_get_embeddings_seq(context, q);
        for (int i = 0; i < width; i++) {
            sum += fabs((double)embedding[i]);
        }
    }
    return sum / sequences;
}

static int encode_text(struct llama_model* model, const char* text) {
    llama_token tokens[512];
    int count = llama_tokenize(llama_model_get_vocab(model), text, (int)strlen(text), tokens, 512, 1, 1);
    struct llama_context* context = count > 0 ? open_context(model, count, 1, 2) : NULL;
    if (!context) {
        return 1;
    }
    struct llama_batch batch = llama_batch_init(count, 0, 1);
    for (int i = 0; i < count; i++) {
        put(&batch, tokens[i], i, 0);
    }
    if (llama_encode(context, batch)) {
        return 1;
    }
    const float* embedding = llama_get_embeddings_seq(context, 0);
    double square = 0;
    for (int i = 0; i < llama_model_n_embd(model); i++) {
        square += (double)embedding[i] * embedding[i];
    }
    printf("{\"tokens\":%d,\"first\":%.6f}\n", count, embedding[0] / sqrt(square));
    return 0;
}

static int time_batches(struct llama_model* model, const char* kind, int B, int L, int repeats, int threads) {
    struct llama_context* context = open_context(model, B * L, B, threads);
    if (!context || repeats < 1 || repeats > 64) {
        return 1;
    }
    struct llama_batch batch = llama_batch_init(B * L, 0, 1);
    srand(1);
    for (int s = 0; s < B; s++) {
        for (int i = 0; i < L; i++) {
            put(&batch, i == 0 ? 101 : i == L - 1 ? 102 : 1000 + rand() % 29000, i, s);
        }
    }
    int width = llama_model_n_embd(model), layers = llama_model_n_layer(model);
    double seconds[64], sum = 0;
    for (int r = -2; r < repeats; r++) {
        double begin = now();
        if (llama_encode(context, batch)) {
            return 1;
        }
        sum = checksum(context, B, width);
        if (r >= 0) {
            seconds[r] = now() - begin;
        }
    }
    qsort(seconds, (size_t)repeats, sizeof *seconds, ascending);
    double median = seconds[repeats / 2], tokens = (double)B * L;
    double flop = tokens * layers * (2 * 12.0 * width * width + 4.0 * L * width);
    printf("{\"system\":\"llama.cpp %s\",\"batch\":%d,\"length\":%d,\"seconds_per_step\":%.4f,\"fastest\":%.4f,"
           "\"tokens_per_second\":%.1f,\"gflops\":%.1f,\"checksum\":%.4f}\n",
           kind, B, L, median, seconds[0], tokens / median, flop / median * 1e-9, sum);
    return 0;
}

int main(int argc, char** argv) {
    if (argc != 4 && argc != 7) {
        fputs("usage: llama_bench MODEL.gguf vk|cpu (TEXT | B L REPEATS THREADS)\n", stderr);
        return 2;
    }
    llama_log_set(only_errors, NULL);
    ggml_backend_load_all();
    llama_backend_init();
    struct llama_model* model = load(argv[1], strcmp(argv[2], "cpu") != 0);
    if (!model) {
        return 1;
    }
    int status = argc == 4 ? encode_text(model, argv[3])
                           : time_batches(model, argv[2], atoi(argv[3]), atoi(argv[4]), atoi(argv[5]), atoi(argv[6]));
    fflush(stdout);
    _Exit(status); /* ggml's Vulkan teardown can hang on CPU drivers */
}
