/* SPDX-License-Identifier: Apache-2.0
 *
 * runner.c - what runner.h promises. Every failure is the test's failure.
 */
#include "test.h"

#include "runner.h"

#include <math.h>

#include "base/file.h"

struct runner_options runner_defaults(void)
{
    return (struct runner_options){.ops = ops_variant(ops_n_variants() - 1),
                                   .n_threads = 1,
                                   .kv_dtype = DT_F32,
                                   .max_batch_tok = 128,
                                   .max_pos = 256,
                                   .cache_tok = 2048,
                                   .n_seqs = 8};
}

void runner_open(struct runner *r, const char *path, const struct runner_options *opt)
{
    struct err err = {0};
    *r = (struct runner){.max_batch_tok = opt->max_batch_tok};
    r->m = model_open(path, &err);
    assert_ok(r->m != NULL, &err);
    r->n_vocab = model_config(r->m)->n_vocab;
    r->team = team_new(opt->n_threads, &err);
    assert_ok(r->team != NULL, &err);
    r->f = forward_new(r->m, opt->ops, r->team, opt->max_batch_tok, opt->max_batch_tok,
                       opt->max_pos, &err);
    assert_ok(r->f != NULL, &err);
    r->kv =
        kv_cache_new(model_config(r->m), opt->kv_dtype, opt->cache_tok, opt->n_seqs, NULL, &err);
    assert_ok(r->kv != NULL, &err);
}

void runner_close(struct runner *r)
{
    kv_cache_free(r->kv);
    forward_free(r->f);
    team_free(r->team);
    model_close(r->m);
}

int32_t runner_seq(struct runner *r)
{
    struct err err = {0};
    const int32_t seq = kv_cache_open_seq(r->kv, &err);
    assert_ok(seq >= 0, &err);
    return seq;
}

static void feed_batch(struct runner *r, int32_t seq, const int32_t *tokens, int32_t n,
                       float *logits)
{
    struct err err = {0};
    int32_t *pos = calloc((size_t)n, sizeof *pos), *seqs = calloc((size_t)n, sizeof *seqs);
    uint8_t *wants = calloc((size_t)n, 1);
    const float *rows = NULL;
    int32_t n_rows = 0;
    const int32_t begin = kv_cache_length(r->kv, seq);
    for (int32_t i = 0; i < n; i++) {
        pos[i] = begin + i;
        seqs[i] = seq;
        wants[i] = logits != NULL;
    }
    const struct batch b = {n, tokens, pos, seqs, wants, NULL};
    const bool ok = forward_run(r->f, r->kv, &b, &rows, &n_rows, &err);
    assert_ok(ok, &err);
    assert_int_equal(n_rows, logits ? n : 0);
    if (logits) memcpy(logits, rows, (size_t)n * (size_t)r->n_vocab * sizeof *rows);
    free(pos);
    free(seqs);
    free(wants);
}

void runner_feed(struct runner *r, int32_t seq, const int32_t *tokens, int32_t n, int32_t chunk,
                 float *logits)
{
    for (int32_t i = 0; i < n; i += chunk) {
        const int32_t n_now = n - i < chunk ? n - i : chunk;
        feed_batch(r, seq, tokens + i, n_now, logits ? logits + (int64_t)i * r->n_vocab : NULL);
    }
}

float max_abs_diff(const float *a, const float *b, int64_t n)
{
    float worst = 0;
    for (int64_t i = 0; i < n; i++) {
        const float d = fabsf(a[i] - b[i]);
        if (!(d <= worst)) worst = d; /* also NaN */
    }
    return worst;
}

int32_t argmax_of(const float *logits, int32_t n)
{
    int32_t best = 0;
    for (int32_t i = 1; i < n; i++)
        if (logits[i] > logits[best]) best = i;
    return best;
}

int32_t *json_ints(struct json arr, int32_t *n)
{
    int32_t *out = calloc(json_len(arr) + 1, sizeof *out);
    struct json_iter it = json_iter(arr);
    struct json v;
    *n = 0;
    while (json_next(&it, NULL, NULL, &v)) {
        int64_t x = 0;
        assert_true(json_i64(v, &x));
        out[(*n)++] = (int32_t)x;
    }
    return out;
}

struct json_doc *json_open(const char *path)
{
    struct err err = {0};
    struct buf text;
    buf_init(&text, (size_t)64 << 20);
    assert_ok(file_read_all(path, text.max_bytes, &text, &err), &err);
    struct json_doc *doc = json_parse(text.data, text.n_bytes, text.max_bytes, path, &err);
    assert_ok(doc != NULL, &err);
    buf_release(&text);
    return doc;
}
