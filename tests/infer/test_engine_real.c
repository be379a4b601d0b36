/* SPDX-License-Identifier: Apache-2.0
 *
 * test_engine_real.c - real weights (stories260K; shared data): greedy from BOS gives the published
 * text, alone and beside nineteen others that came at other times.
 */
#include "test.h"

#include <unistd.h>

#include "base/buf.h"
#include "base/file.h"
#include "base/json.h"
#include "infer/engine.h"
#include "tools/llama2c_to_gguf.h"

enum { N_STEPS = 256, N_REQUESTS = 20 };

struct told {
    int32_t ids[N_STEPS];
    int32_t n;
};

static bool listen(void *user, const struct engine_event *ev)
{
    struct told *t = user;
    if (ev->token >= 0 && t->n < N_STEPS) t->ids[t->n++] = ev->token;
    return true;
}

static struct model *open_stories(void)
{
    char out[64], bin[1024];
    struct err err = {0};
    const char *path = data_path("stories260K/stories260K.bin");
    if (!path) return NULL;
    snprintf(bin, sizeof bin, "%s", path);
    const char *tok = data_path("stories260K/tok512.bin");
    if (!tok) return NULL;
    snprintf(out, sizeof out, "/tmp/cria-engine-stories-%d.gguf", (int)getpid());
    assert_ok(llama2c_to_gguf(bin, tok, out, &err), &err);
    struct model *m = model_open(out, &err);
    unlink(out);
    assert_ok(m, &err);
    return m;
}

/* The reference's tokens after BOS. */
static void read_reference(int32_t want[N_STEPS])
{
    struct err err = {0};
    struct buf text;
    buf_init(&text, 1 << 22);
    const char *path = data_path("stories260K/reference_greedy.json");
    assert_non_null(path);
    assert_ok(file_read_all(path, 1 << 22, &text, &err), &err);
    struct json_doc *d = json_parse(text.data, text.n_bytes, 1 << 22, "reference", &err);
    assert_ok(d, &err);
    struct json_iter it = json_iter(json_get(json_root(d), "steps"));
    struct json step;
    int32_t n = 0;
    for (int64_t id = 0; n < N_STEPS && json_next(&it, NULL, NULL, &step); n++) {
        assert_true(json_i64(json_get(step, "next"), &id));
        want[n] = (int32_t)id;
    }
    assert_int_equal(n, N_STEPS);
    json_free(d);
    buf_release(&text);
}

static void test_twenty_tell_the_published_story(void **state)
{
    (void)state;
    struct err err = {0};
    static struct told told[N_REQUESTS];
    static int32_t want[N_STEPS];
    struct model *m = open_stories();
    skip_without(m, "stories260K");
    read_reference(want);
    const struct engine_options opt = {
        .n_threads = 2, .n_ctx = 512, .n_seqs = 6, .max_batch_tok = 64, .kv_dtype = DT_F32};
    struct engine *e = engine_new(m, &opt, &err);
    assert_ok(e, &err);
    int32_t ids[N_REQUESTS][64];
    for (int i = 0; i < N_REQUESTS; i++) { /* request i begins i tokens into the story */
        struct request_params p = request_defaults();
        ids[i][0] = 1;
        for (int j = 0; j < i; j++) ids[i][1 + j] = want[j];
        p.prompt = ids[i], p.n_prompt = 1 + i, p.n_predict = N_STEPS - 20;
        p.sampling.temperature = 0;
        p.ignores_eos = true;
        p.listener = listen, p.user = &told[i];
        assert_ok(engine_submit(e, &p, &err) > 0, &err);
    }
    for (bool has_work = true; has_work;) assert_ok(engine_step(e, &has_work, &err), &err);
    for (int i = 0; i < N_REQUESTS; i++)
        for (int j = 0; j < N_STEPS - 20; j++)
            if (told[i].ids[j] != want[i + j])
                fail_msg("request %d, token %d: %d, want %d", i, j, (int)told[i].ids[j],
                         (int)want[i + j]);
    engine_free(e);
    model_close(m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_twenty_tell_the_published_story)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
