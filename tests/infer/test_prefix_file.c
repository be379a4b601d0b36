/* SPDX-License-Identifier: Apache-2.0
 *
 * test_prefix_file.c - keys and values written to a file are found again by another engine, which
 * then gives the same answer; a file with any byte changed, cut anywhere, of another model, cache
 * type or context is refused with nothing changed; failing calls lose neither memory nor the old
 * file.
 */
#include "test.h"

#include <unistd.h>

#include "base/file.h"
#include "fault.h"
#include "infer/engine.h"
#include "tiny_model.h"

enum { N_PROMPT = 70, N_PREDICT = 20, N_KEPT = 64 }; /* of 89 fed, whole pages of 32 */

struct heard {
    int32_t ids[N_PREDICT], n, n_cached;
};

static bool listen(void *user, const struct engine_event *ev)
{
    struct heard *h = user;
    if (ev->token >= 0) h->ids[h->n++] = ev->token;
    h->n_cached = ev->n_cached;
    return true;
}

static struct engine *open_engine(const struct model *m, enum dtype kv, int32_t n_ctx)
{
    struct err err = {0};
    const struct engine_options opt = {.n_threads = 1, .n_ctx = n_ctx, .kv_dtype = kv};
    struct engine *e = engine_new(m, &opt, &err);
    assert_ok(e, &err);
    return e;
}

static struct heard answer(struct engine *e)
{
    struct err err = {0};
    struct heard h = {0};
    int32_t ids[N_PROMPT];
    for (int32_t i = 0; i < N_PROMPT; i++) ids[i] = i ? TINY_FIRST_WORD + i * i % 41 : 1;
    struct request_params p = request_defaults();
    p.prompt = ids, p.n_prompt = N_PROMPT, p.n_predict = N_PREDICT;
    p.sampling.temperature = 0;
    p.ignores_eos = true;
    p.listener = listen, p.user = &h;
    assert_ok(engine_run(e, &p, &err), &err);
    return h;
}

static const char *path_of(void)
{
    static char path[64];
    snprintf(path, sizeof path, "/tmp/cria-prefix-%d.kv", (int)getpid());
    return path;
}

static struct heard save(const struct model *m)
{
    struct err err = {0};
    int32_t n = -1;
    struct engine *e = open_engine(m, DT_F16, 128);
    assert_ok(engine_save_prefix(e, path_of(), &n, &err),
              &err); /* nothing is there to be written */
    assert_int_equal(n, 0);
    assert_false(path_exists(path_of()));
    const struct heard h = answer(e);
    assert_ok(engine_save_prefix(e, path_of(), &n, &err), &err);
    assert_int_equal(n, N_KEPT);
    engine_free(e);
    return h;
}

static void test_another_engine_goes_on(void **state)
{
    struct err err = {0};
    int32_t n = 0;
    const struct heard want = save(*state);
    assert_int_equal(want.n_cached, 0);
    struct engine *e = open_engine(*state, DT_F16, 100);
    const int64_t n_free = engine_free_tokens(e);
    for (int i = 0; i < 3; i++) { /* again and again: the earlier one is dropped */
        assert_ok(engine_load_prefix(e, path_of(), &n, &err), &err);
        assert_int_equal(n, N_KEPT);
        assert_int_equal(engine_free_tokens(e), n_free - N_KEPT);
    }
    const struct heard got = answer(e);
    assert_int_equal(got.n_cached, N_KEPT);
    assert_memory_equal(got.ids, want.ids, sizeof want.ids);
    engine_clear_cache(e);
    assert_int_equal(engine_free_tokens(e), n_free);
    engine_free(e);
    unlink(path_of());
}

/* ---- bad files ---- */

static void write_file(const uint8_t *data, size_t n)
{
    FILE *f = fopen(path_of(), "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    assert_int_equal(fclose(f), 0);
}

static void check_refused(struct engine *e, const char *what, size_t at)
{
    struct err err = {0};
    int32_t n = -1;
    const int64_t n_free = engine_free_tokens(e);
    if (engine_load_prefix(e, path_of(), &n, &err)) fail_msg("%s at %zu: taken", what, at);
    assert_int_equal(n, 0);
    assert_true(err.code == ERR_FORMAT || err.code == ERR_IO);
    assert_non_null(strstr(err.text, path_of()));
    assert_int_equal(engine_free_tokens(e), n_free);
}

static void test_damaged_files_are_refused(void **state)
{
    struct err err = {0};
    struct buf b;
    buf_init(&b, 1 << 20);
    save(*state);
    assert_ok(file_read_all(path_of(), 1 << 20, &b, &err), &err);
    uint8_t *data = (uint8_t *)b.data;
    struct engine *e = open_engine(*state, DT_F16, 128);
    const size_t head = 40 + N_KEPT * sizeof(int32_t);
    for (size_t i = 0; i < b.n_bytes; i += i < head || i + 16 > b.n_bytes ? 1 : 97) {
        for (int bit = 0; bit < 8; bit += 7) {
            data[i] ^= (uint8_t)(1 << bit);
            write_file(data, b.n_bytes);
            check_refused(e, "changed", i);
            data[i] ^= (uint8_t)(1 << bit);
        }
    }
    for (size_t n = 0; n < b.n_bytes; n += n < head ? 1 : 997) {
        write_file(data, n);
        check_refused(e, "cut", n);
    }
    buf_putc(&b, '\0');
    write_file((uint8_t *)b.data, b.n_bytes);
    check_refused(e, "longer", b.n_bytes);
    engine_free(e);
    buf_release(&b);
    unlink(path_of());
}

static void test_other_engines_refuse(void **state)
{
    struct model *other = tiny_model_open(9);
    save(*state);
    struct engine *e[] = {open_engine(other, DT_F16, 128), open_engine(*state, DT_BF16, 128),
                          open_engine(*state, DT_F32, 128), open_engine(*state, DT_F16, 50)};
    for (size_t i = 0; i < ARRAY_LEN(e); i++) {
        check_refused(e[i], "engine", i);
        engine_free(e[i]);
    }
    unlink(path_of());
    struct engine *none = open_engine(*state, DT_F16, 128);
    check_refused(none, "no file", 0);
    engine_free(none);
    model_close(other);
}

static void test_failing_calls(void **state)
{
    struct err err = {0};
    int32_t n_tok = 0;
    save(*state);
    struct engine *e = open_engine(*state, DT_F16, 128);
    answer(e);
    for (int64_t n = 1, was_hit = true; was_hit; n++) {
        fault_arm(FAULT_MEMORY | FAULT_IO, n);
        const bool ok = engine_save_prefix(e, path_of(), &n_tok, &err);
        was_hit = fault_disarm();
        assert_true(ok || was_hit);
        struct engine *reader = open_engine(*state, DT_F16, 128); /* the old file or the new one */
        assert_ok(engine_load_prefix(reader, path_of(), &n_tok, &err), &err);
        engine_free(reader);
    }
    for (int64_t n = 1, was_hit = true; was_hit; n++) {
        fault_arm(FAULT_MEMORY | FAULT_IO, n);
        const bool ok = engine_load_prefix(e, path_of(), &n_tok, &err);
        was_hit = fault_disarm();
        assert_true(ok || was_hit);
    }
    engine_free(e);
    unlink(path_of());
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_another_engine_goes_on),
        cmocka_unit_test(test_damaged_files_are_refused),
        cmocka_unit_test(test_other_engines_refuse),
        cmocka_unit_test(test_failing_calls),
    };
    return cmocka_run_group_tests(tests, tiny_model_setup, tiny_model_teardown);
}
