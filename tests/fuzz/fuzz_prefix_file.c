/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_prefix_file.c - any bytes as the cache file of a conversation, for an engine of a tiny
 * model.
 *
 * A file that is taken must serve: an answer to the prompt that it holds is begun from it. Seeds in
 * the corpus are files that such an engine wrote, whole and broken: the checksum stands at the end,
 * so the checks before it are what mutation reaches.
 */
#include <assert.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "fuzz.h"
#include "infer/engine.h"
#include "tiny_model.h"

enum { SEED = 1, N_CTX = 64, HEADER = 40 };

static struct engine *engine(void)
{
    static struct engine *e; /* of the process, as libFuzzer wants it */
    struct err err = {0};
    const struct engine_options opt = {.n_threads = 1, .isa = "generic", .n_ctx = N_CTX};
    if (!e) e = engine_new(tiny_model_open(SEED), &opt, &err);
    assert(e);
    return e;
}

static bool ignore(void *user, const struct engine_event *ev)
{
    (void)user;
    (void)ev; /* in a release build */
    assert(ev->n_cached <= ev->n_prompt);
    return true;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct err err = {0};
    char path[64];
    int32_t n_tok = -1, ids[N_CTX];
    const int fd = memfd_create("prefix", 0);
    if (fd < 0) return 0;
    snprintf(path, sizeof path, "/proc/self/fd/%d", fd);
    if (write(fd, data, n_bytes) == (ssize_t)n_bytes &&
        engine_load_prefix(engine(), path, &n_tok, &err)) {
        assert(n_tok > 0 && n_tok <= N_CTX && HEADER + (size_t)n_tok * sizeof *ids <= n_bytes);
        struct request_params p = request_defaults();
        __builtin_memcpy(ids, data + HEADER, (size_t)n_tok * sizeof *ids);
        p.prompt = ids, p.n_prompt = n_tok, p.n_predict = 1, p.listener = ignore;
        (void)!engine_run(engine(), &p, &err);
        engine_clear_cache(engine());
    }
    close(fd);
    return 0;
}
