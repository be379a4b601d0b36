/* SPDX-License-Identifier: Apache-2.0
 *
 * test_load.c - opening models: what is read from each form, and that every way in which files can
 * disagree with each other is an error which names the file and the tensor.
 *
 * Wrong models are made from the golden ones: a directory is copied file by file, with one replaced
 * or left out; a GGUF file is written again through our writer with one change.
 */
#include "test.h"

#include <dirent.h>
#include <math.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "base/log.h"
#include "fault.h"
#include "model/model.h"

static const char *model_path(const char *name)
{
    char rest[256];
    snprintf(rest, sizeof rest, "model/%s", name);
    return golden_path(rest);
}

/* ---- a directory with a change ---- */

struct copy {
    char dir[64];
};

static void write_file(const char *dir, const char *name, const void *data, size_t n)
{
    char path[512];
    snprintf(path, sizeof path, "%s/%s", dir, name);
    FILE *f = fopen(path, "wb");
    assert_non_null(f);
    assert_int_equal(fwrite(data, 1, n, f), n);
    fclose(f);
}

static void copy_file(const char *from, const char *dir, const char *name)
{
    char path[2048];
    struct buf b;
    struct err err = {0};
    buf_init(&b, 1 << 24);
    snprintf(path, sizeof path, "%s/%s", from, name);
    assert_ok(file_read_all(path, b.max_bytes, &b, &err), &err);
    write_file(dir, name, b.data, b.n_bytes);
    buf_release(&b);
}

/* All files of the golden directory but `without`. */
static void copy_model(struct copy *c, const char *name, const char *without)
{
    char from[1024];
    snprintf(c->dir, sizeof c->dir, "/tmp/cria-test-load-XXXXXX");
    assert_non_null(mkdtemp(c->dir));
    snprintf(from, sizeof from, "%s", model_path(name));
    DIR *d = opendir(from);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e; e = readdir(d))
        if (e->d_name[0] != '.' && (!without || strcmp(e->d_name, without) != 0))
            copy_file(from, c->dir, e->d_name);
    closedir(d);
}

static void remove_model(const struct copy *c)
{
    char path[512];
    DIR *d = opendir(c->dir);
    assert_non_null(d);
    for (const struct dirent *e = readdir(d); e; e = readdir(d)) {
        if (e->d_name[0] == '.') continue;
        snprintf(path, sizeof path, "%s/%s", c->dir, e->d_name);
        remove(path);
    }
    closedir(d);
    rmdir(c->dir);
}

/* Replaces `old` by `new` in a small text file. */
static void change_text(const struct copy *c, const char *name, const char *old, const char *new)
{
    char path[512];
    struct buf b, out;
    struct err err = {0};
    buf_init(&b, 1 << 20);
    buf_init(&out, 1 << 20);
    snprintf(path, sizeof path, "%s/%s", c->dir, name);
    assert_ok(file_read_all(path, b.max_bytes, &b, &err), &err);
    const char *at = strstr(b.data, old);
    if (!at) fail_msg("%s: has no %s", name, old);
    buf_append(&out, b.data, (size_t)(at - b.data));
    buf_puts(&out, new);
    buf_puts(&out, at + strlen(old));
    write_file(c->dir, name, out.data, out.n_bytes);
    buf_release(&b);
    buf_release(&out);
}

/* ---- what is read ---- */

static void test_each_form_opens(void **state)
{
    static const struct form_case {
        const char *name;
        enum model_source source;
        enum rope_pairs pairs;
        const char *type, *license;
        bool is_llama3, is_tied, has_tokenizer;
    } cases[] = {
        /* clang-format off */
        /* name               source        pairs          type    licence     llama3  tied   tokenizer */
        {"llama3",           SOURCE_HF,   ROPE_HALVES,   "BF16", "llama3.1", true,  false, true},
        {"llama3-f16.gguf",  SOURCE_GGUF, ROPE_ADJACENT, "F16",  "llama3.1", true,  false, true},
        {"llama3-q8_0.gguf", SOURCE_GGUF, ROPE_ADJACENT, "Q8_0", "llama3.1", true,  false, true},
        {"bias",             SOURCE_HF,   ROPE_HALVES,   "F16",  NULL,       false, true,  false},
        {"meta",             SOURCE_META, ROPE_ADJACENT, "BF16", NULL,       false, false, false},
        /* clang-format on */
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        struct model *m = model_open(model_path(cases[i].name), &err);
        assert_ok(m != NULL, &err);
        const struct model_info *info = model_info(m);
        const struct model_config *c = model_config(m);
        if (info->source != cases[i].source || c->rope_pairs != cases[i].pairs ||
            strcasecmp(info->type_name, cases[i].type) != 0 ||
            (info->built_with != NULL) != cases[i].is_llama3 || c->is_tied != cases[i].is_tied ||
            (model_tokenizer(m) != NULL) != cases[i].has_tokenizer ||
            (info->license != NULL) != (cases[i].license != NULL) ||
            (info->license && strcmp(info->license, cases[i].license) != 0))
            fail_msg("%s: type %s, licence %s, family %d, tied %d", cases[i].name, info->type_name,
                     info->license, (info->built_with != NULL), c->is_tied);
        assert_true(info->file_bytes > 10000 && info->n_params == (uint64_t)config_n_params(c));
        assert_int_equal(model_require_tokenizer(m, &err), cases[i].has_tokenizer);
        assert_int_equal(model_gguf(m) != NULL, cases[i].source == SOURCE_GGUF);
        model_close(m);
    }
}

static void test_directory_says_name_and_licence(void **state)
{
    static const char *const titles[] = {"META LLAMA 3 COMMUNITY LICENSE AGREEMENT\n...",
                                         "LLAMA 3.2 COMMUNITY LICENSE AGREEMENT\n"};
    static const char *const keys[] = {"llama3", "llama3.2"};
    (void)state;
    struct err err = {0};
    struct model *m = model_open(model_path("llama3"), &err);
    assert_ok(m != NULL, &err);
    assert_string_equal(model_info(m)->name, "Tiny three");
    assert_non_null(strstr(model_info(m)->model_card, "Random weights"));
    model_close(m);
    for (size_t i = 0; i < ARRAY_LEN(titles); i++) {
        struct copy c;
        copy_model(&c, "meta", NULL);
        write_file(c.dir, "LICENSE", titles[i], strlen(titles[i]));
        m = model_open(c.dir, &err);
        assert_ok(m != NULL, &err);
        assert_string_equal(model_info(m)->license, keys[i]);
        assert_true(model_info(m)->built_with);
        model_close(m);
        remove_model(&c);
    }
}

/* Meta's pieces, joined, are the matrix that was cut: rows of wq in rank order, columns of wo. */
static void test_tensors_have_their_shapes(void **state)
{
    static const char *const names[] = {"llama3", "bias", "meta", "meta-old", "llama3-q8_0.gguf"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++) {
        struct err err = {0};
        struct model *m = model_open(model_path(names[i]), &err);
        assert_ok(m != NULL, &err);
        const struct model_config *c = model_config(m);
        const struct weights *w = model_weights(m);
        for (size_t k = 0; k < ROLE_COUNT; k++) {
            const struct tensor_row *r = &tensor_rows_table[k];
            assert_int_equal(r->role, k);
            for (int32_t l = 0; l < tensor_copies(c, r); l++) {
                if (r->rows == DIM_NONE) {
                    assert_non_null(weights_vector(w, r, l));
                    continue;
                }
                const struct tensor *t = weights_matrix(w, r, l);
                assert_int_equal(tensor_rows(t), tensor_dim_size(c, r->rows));
                assert_int_equal(tensor_cols(t), tensor_dim_size(c, r->cols));
            }
        }
        if (c->is_tied) assert_ptr_equal(w->output.data, w->token_embd.data);
        model_close(m);
    }
}

/* ---- what is refused ---- */

struct bad_dir {
    const char *what, *model, *without; /* a file left out */
    const char *file, *old, *new;       /* a text changed */
    const char *says[2];
};

static const struct bad_dir bad_dirs[] = {
    /* clang-format off */
    {"no config",         "llama3", "config.json", NULL, NULL, NULL, {"neither config.json nor params.json", ""}},
    {"no index",          "llama3", "model.safetensors.index.json", NULL, NULL, NULL, {"safetensors", ""}},
    {"a shard is gone",   "llama3", "model-00002-of-00002.safetensors", NULL, NULL, NULL, {"model-00002", ""}},
    {"no params",         "meta",   "params.json", NULL, NULL, NULL, {"neither", ""}},
    {"first file gone",   "meta",   "consolidated.00.pth", NULL, NULL, NULL, {"consolidated.00.pth", ""}},
    {"second file gone",  "meta",   "consolidated.01.pth", NULL, NULL, NULL, {"160 rows of 32", "320 rows of 32"}},
    {"wider than it is",  "llama3", NULL, "config.json", "\"hidden_size\": 32", "\"hidden_size\": 64", {"model.embed_tokens.weight", "expects"}},
    {"more layers",       "llama3", NULL, "config.json", "\"num_hidden_layers\": 3", "\"num_hidden_layers\": 4", {"model.layers.3.input_layernorm.weight", "missing"}},
    {"other heads",       "llama3", NULL, "config.json", "\"num_key_value_heads\": 2", "\"num_key_value_heads\": 4", {"model.layers.0.self_attn.k_proj.weight", "16 rows"}},
    {"other vocabulary",  "llama3", NULL, "config.json", "\"vocab_size\": 320", "\"vocab_size\": 321", {"model.embed_tokens.weight", "321 rows"}},
    {"bias not said",     "bias",   NULL, "config.json", "\"attention_bias\": true", "\"attention_bias\": false", {"bias", "does not announce"}},
    {"bias not there",    "llama3", NULL, "config.json", "\"attention_bias\": false", "\"attention_bias\": true", {"self_attn.q_proj.bias", "missing"}},
    {"no output matrix",  "bias",   NULL, "config.json", "\"tie_word_embeddings\": true", "\"tie_word_embeddings\": false", {"lm_head.weight", "missing"}},
    {"broken JSON",       "llama3", NULL, "config.json", "\"vocab_size\": 320", "\"vocab_size\": 3 20", {"config.json", ""}},
    {"other width, Meta", "meta",   NULL, "params.json", "\"multiple_of\": 32", "\"multiple_of\": 64", {"layers.0.feed_forward.w1.weight", "128 rows"}},
    /* clang-format on */
};

static void test_wrong_directories_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(bad_dirs); i++) {
        const struct bad_dir *b = &bad_dirs[i];
        struct copy c;
        struct err err = {0};
        copy_model(&c, b->model, b->without);
        if (b->file) change_text(&c, b->file, b->old, b->new);
        struct model *m = model_open(c.dir, &err);
        if (m || err.code == ERR_OK || !strstr(err.text, c.dir) || !strstr(err.text, b->says[0]) ||
            !strstr(err.text, b->says[1]))
            fail_msg("%s: %s", b->what, m ? "was taken" : err.text);
        model_close(m);
        remove_model(&c);
    }
}

static void test_wrong_paths_are_refused(void **state)
{
    static const struct {
        const char *path, *says;
        enum err_code code;
    } cases[] = {{"/tmp/cria-no-such-file.gguf", "no-such-file", ERR_IO},
                 {"llama3/config.json", "name the directory", ERR_USAGE},
                 {"bias/model.safetensors", "name the directory", ERR_USAGE},
                 {"meta/consolidated.00.pth", "name the directory", ERR_USAGE},
                 {"llama3/README.md", "README.md", ERR_FORMAT}};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        const char *path = cases[i].path[0] == '/' ? cases[i].path : model_path(cases[i].path);
        struct model *m = model_open(path, &err);
        if (m || err.code != cases[i].code || !strstr(err.text, cases[i].says))
            fail_msg("%s: %s", path, m ? "was taken" : err.text);
    }
}

/* ---- a GGUF file with a change ---- */

struct gguf_change {
    const char *what;
    const char *without;  /* a tensor left out */
    const char *extra;    /* a tensor added: 32 floats */
    const char *nan_in;   /* a tensor whose first float is NaN */
    uint32_t block_count; /* or 0 */
    const char *says;     /* NULL: it opens */
};

static void write_changed(const char *path, const struct gguf_change *c)
{
    static const float zeros[32];
    static const int64_t n_zeros = 32;
    const float nan = NAN;
    struct err err = {0};
    struct gguf *g = gguf_open(model_path("llama3-f16.gguf"), &err);
    assert_ok(g != NULL, &err);
    struct gguf_writer *w = gguf_writer_new(&err);
    assert_ok(w != NULL, &err);
    for (size_t i = 0; i < gguf_n_values(g); i++) gguf_put_value(w, gguf_value(g, i));
    if (c->block_count) gguf_put_u32(w, "llama.block_count", c->block_count);
    for (int pass = 0; pass < 2; pass++) {
        for (size_t i = 0; i < gguf_n_tensors(g); i++) {
            const struct gguf_tensor *t = gguf_tensor(g, i);
            const char *data = t->t.data;
            if (c->without && strcmp(t->name, c->without) == 0) continue;
            if (pass == 0) {
                gguf_put_tensor(w, t->name, t->t.dtype, t->t.n_dims, t->t.shape);
                continue;
            }
            const bool is_nan = c->nan_in && strcmp(t->name, c->nan_in) == 0;
            assert_ok(gguf_writer_data(w, is_nan ? (const char *)&nan : data, 4, &err), &err);
            assert_ok(gguf_writer_data(w, data + 4, (size_t)t->n_bytes - 4, &err), &err);
        }
        if (pass == 0) {
            if (c->extra) gguf_put_tensor(w, c->extra, DT_F32, 1, &n_zeros);
            assert_ok(gguf_writer_begin(w, path, &err), &err);
        } else if (c->extra) {
            assert_ok(gguf_writer_data(w, zeros, sizeof zeros, &err), &err);
        }
    }
    assert_ok(gguf_writer_commit(w, &err), &err);
    gguf_writer_free(w);
    gguf_close(g);
}

struct heard {
    int n;
    char last[300];
};

static void hear(void *user, enum log_level level, const char *line)
{
    struct heard *h = user;
    if (level != LOG_WARN) return;
    h->n++;
    snprintf(h->last, sizeof h->last, "%s", line);
}

static void test_changed_gguf_files(void **state)
{
    static const struct gguf_change cases[] = {
        /* clang-format off */
        /* what               without                extra                   NaN in                     layers  says */
        {"as it is",          NULL,                  NULL,                   NULL,                      0, NULL},
        {"tensor missing",    "blk.1.attn_k.weight", NULL,                   NULL,                      0, "blk.1.attn_k.weight: the tensor is missing"},
        {"embedding missing", "token_embd.weight",   NULL,                   NULL,                      0, "token_embd.weight"},
        {"NaN in a norm",     NULL,                  NULL,                   "blk.2.ffn_norm.weight",   0, "blk.2.ffn_norm.weight: element 0"},
        {"NaN in divisors",   NULL,                  NULL,                   "rope_freqs.weight",       0, "rope_freqs.weight"},
        {"more layers",       NULL,                  NULL,                   NULL,                      4, "blk.3.attn_norm.weight: the tensor is missing"},
        {"fewer layers",      NULL,                  NULL,                   NULL,                      2, NULL},
        {"a bias alone",      NULL,                  "blk.2.attn_q.bias",    NULL,                      0, "does not announce"},
        {"unknown tensor",    NULL,                  "blk.0.strange.weight", NULL,                      0, NULL},
        {"no output: tied",   "output.weight",       NULL,                   NULL,                      0, NULL},
        /* clang-format on */
    };
    (void)state;
    char path[64];
    struct heard heard = {0};
    snprintf(path, sizeof path, "/tmp/cria-test-load-%d.gguf", (int)getpid());
    log_set_sink(hear, &heard, LOG_WARN);
    for (size_t i = 0; i < ARRAY_LEN(cases); i++) {
        struct err err = {0};
        heard.n = 0;
        write_changed(path, &cases[i]);
        struct model *m = model_open(path, &err);
        if ((m == NULL) != (cases[i].says != NULL) || (cases[i].says && !strstr(err.text, path)) ||
            (cases[i].says && !strstr(err.text, cases[i].says)))
            fail_msg("%s: %s", cases[i].what, m ? "was taken" : err.text);
        const bool is_warned = m && (cases[i].extra || cases[i].block_count);
        if (heard.n != is_warned)
            fail_msg("%s: %d warnings, %s", cases[i].what, heard.n, heard.last);
        model_close(m);
    }
    log_set_sink(NULL, NULL, LOG_WARN);
    remove(path);
}

/* ---- failures of the system ---- */

static void test_failures_are_reported(void **state)
{
    static const char *const names[] = {"llama3", "llama3-f16.gguf", "meta", "meta-old", "bias"};
    static const unsigned kinds[] = {FAULT_MEMORY, FAULT_MEMORY | FAULT_STAYS, FAULT_IO,
                                     FAULT_IO | FAULT_STAYS};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(names); i++)
        for (size_t k = 0; k < ARRAY_LEN(kinds); k++)
            for (int64_t n = 1;; n++) {
                char path[1024];
                struct err err = {0};
                snprintf(path, sizeof path, "%s", model_path(names[i]));
                fault_arm(kinds[k], n);
                struct model *m = model_open(path, &err);
                const bool was_hit = fault_disarm();
                if ((m == NULL) != (err.code != ERR_OK) || (!m && !was_hit))
                    fail_msg("%s: call %d: %s", names[i], (int)n, err.text);
                model_close(m);
                if (!was_hit) break;
            }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_each_form_opens),
        cmocka_unit_test(test_directory_says_name_and_licence),
        cmocka_unit_test(test_tensors_have_their_shapes),
        cmocka_unit_test(test_wrong_directories_are_refused),
        cmocka_unit_test(test_wrong_paths_are_refused),
        cmocka_unit_test(test_changed_gguf_files),
        cmocka_unit_test(test_failures_are_reported),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
