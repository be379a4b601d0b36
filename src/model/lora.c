/* SPDX-License-Identifier: Apache-2.0
 *
 * lora.c - adapters from files to pairs of float matrices.
 *
 * A name in the file is a name of the tensor table and an ending: PEFT's
 * "base_model.model." NAME-less-".weight" ".lora_A.weight", GGUF's NAME ".lora_a". So the table
 * says which modules there are, and their shapes. Whatever else is in the file is an error that
 * names it: an adapter that is applied in part answers wrongly, and nobody sees it.
 *
 * The scale is alpha / rank, or alpha / sqrt(rank) (rsLoRA), with the rank of the tensor itself,
 * since that may differ by module. Everything becomes float, with the scale in B: an adapter is
 * small beside its model. Rows of B that are rotated come in Hugging Face's order from PEFT and in
 * Meta's from GGUF, and are re-ordered where the model has the other one.
 *
 * Begin reading at place().
 */
#include "model/lora.h"

#include <inttypes.h>
#include <math.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "base/arena.h"
#include "base/file.h"
#include "base/json.h"
#include "base/os.h"
#include "formats/gguf.h"
#include "formats/safetensors.h"

#define MAX_ADAPTER_BYTES ((size_t)8 << 30)
#define MAX_CONFIG_BYTES ((size_t)1 << 20)
#define PEFT_PREFIX "base_model.model."

struct lora {
    struct arena *arena;
    struct lora_pair *pair; /* [n_layers, ROLE_COUNT]; what is once a model stands in layer 0 */
    int32_t n_layers, n_pairs, rank;
    int64_t id;
    atomic_int n_holders;
};

static _Atomic int64_t last_id; /* ids of adapters are never used again: see lora_id() */

/* What is known while a file is read. */
struct reading {
    struct lora *lora;
    const struct model_config *c;
    const char *path;
    enum rope_pairs pairs; /* of the file's rows */
    bool is_rslora;
    double alpha, scale;
};

/* A tensor of either container. */
struct found {
    const char *name;
    const struct tensor *t;
    const char *unsupported; /* the type's name, if we cannot read it */
};

/* ---- one tensor ---- */

/* The row and layer of `stem`, which is a name of the table; `pick` says which of the row's. */
static const struct tensor_row *find_row(const struct reading *rd, const char *stem, bool is_peft,
                                         int32_t *i_layer)
{
    for (size_t i = 0; i < ROLE_COUNT; i++) {
        const struct tensor_row *r = &tensor_rows_table[i];
        int64_t layer = 0;
        if (r->rows == DIM_NONE || r->role == ROLE_TOKEN_EMBD) continue;
        if (!tensor_name_is(is_peft ? r->hf : r->gguf, stem, &layer)) continue;
        *i_layer = (int32_t)layer;
        return layer >= 0 && layer < rd->c->n_layers ? r : NULL;
    }
    return NULL;
}

/* Which row of the file's order is row i of the model's. */
static int64_t source_row(const struct reading *rd, const struct tensor_row *r, int64_t i)
{
    if (!r->is_rotated || rd->c->rope_pairs == rd->pairs) return i;
    const int64_t d = rd->c->d_head, half = d / 2, head = i / d * d, at = i % d;
    if (rd->pairs == ROPE_HALVES) return head + at % 2 * half + at / 2; /* the model's: adjacent */
    return head + at % half * 2 + at / half;
}

static bool fill(const struct reading *rd, const struct tensor_row *r, const struct found *f,
                 bool is_b, struct tensor *to, struct err *err)
{
    const int64_t rows = tensor_rows(f->t), cols = tensor_cols(f->t);
    const double rank = (double)(is_b ? cols : rows);
    const double scale = is_b ? rd->scale * rd->alpha / (rd->is_rslora ? sqrt(rank) : rank) : 1;
    const uint64_t n_bytes = (uint64_t)(rows * cols) * sizeof(float);
    const uint64_t available = os_memory_available();
    if (n_bytes > available)
        return err_set(err, ERR_MEMORY,
                       "%s: %s takes %" PRIu64 " MiB, %" PRIu64 " MiB are free; free memory",
                       rd->path, f->name, n_bytes >> 20, available >> 20);
    float *v = arena_array(rd->lora->arena, (size_t)(rows * cols), sizeof *v, err);
    if (!v) return err_wrap(err, "%s", rd->path);
    for (int64_t i = 0; i < rows; i++) {
        float *row = v + i * cols;
        dtype_info(f->t->dtype)
            ->decode(row, tensor_row(f->t, is_b ? source_row(rd, r, i) : i), cols);
        for (int64_t k = 0; k < cols; k++) {
            row[k] = (float)(scale * (double)row[k]);
            if (!isfinite(row[k]))
                return err_set(err, ERR_FORMAT, "%s: %s: row %" PRId64 " has %g; fetch it again",
                               rd->path, f->name, i, (double)row[k]);
        }
    }
    return tensor_make(to, f->name, DT_F32, 2, (const int64_t[]){rows, cols}, v, err);
}

static bool check_shape(const struct reading *rd, const struct tensor_row *r, const struct found *f,
                        bool is_b, struct err *err)
{
    const int64_t rows = f->t->shape[0], cols = tensor_cols(f->t);
    const int64_t rank = is_b ? cols : rows, rest = is_b ? rows : cols;
    const int64_t want = tensor_dim_size(rd->c, is_b ? r->rows : r->cols);
    if (f->t->n_dims != 2 || rest != want)
        return err_set(
            err, ERR_FORMAT,
            "%s: %s: %" PRId32 " dimensions, %" PRId64 " rows of %" PRId64
            ", but this model's has %" PRId64 " %s; name an adapter that was made for this model",
            rd->path, f->name, f->t->n_dims, rows, cols, want, is_b ? "rows" : "columns");
    if (rank < 1 || rank > LORA_MAX_RANK)
        return err_set(err, ERR_LIMIT, "%s: %s: rank %" PRId64 "; we take 1 to %d", rd->path,
                       f->name, rank, LORA_MAX_RANK);
    return true;
}

/* Takes the ending off; false if there is none of ours. */
static bool take_ending(const char *name, const char *a, const char *b, char stem[200], bool *is_b)
{
    const char *const ending[] = {a, b};
    const size_t n = strlen(name);
    for (int i = 0; i < 2; i++) {
        const size_t n_end = strlen(ending[i]);
        if (n <= n_end || n - n_end >= 180 || strcmp(name + n - n_end, ending[i]) != 0) continue;
        memcpy(stem, name, n - n_end);
        stem[n - n_end] = 0;
        *is_b = i == 1;
        return true;
    }
    return false;
}

static const struct tensor_row *row_of(const struct reading *rd, const char *name, bool is_peft,
                                       bool *is_b, int32_t *i_layer)
{
    char stem[200];
    if (!is_peft)
        return take_ending(name, ".lora_a", ".lora_b", stem, is_b)
                   ? find_row(rd, stem, false, i_layer)
                   : NULL;
    const size_t n_prefix = strlen(PEFT_PREFIX);
    if (strncmp(name, PEFT_PREFIX, n_prefix) != 0 ||
        !take_ending(name + n_prefix, ".lora_A.weight", ".lora_B.weight", stem, is_b))
        return NULL;
    strcat(stem, ".weight");
    return find_row(rd, stem, true, i_layer);
}

static bool place(struct reading *rd, const struct found *f, bool is_peft, struct err *err)
{
    bool is_b = false;
    int32_t i_layer = 0;
    const struct tensor_row *r = row_of(rd, f->name, is_peft, &is_b, &i_layer);
    if (!r)
        return err_set(err, ERR_UNSUPPORTED,
                       "%s: %s: no product of this model that an adapter may change; train it on "
                       "attention, feed-forward and output matrices only",
                       rd->path, f->name);
    if (f->unsupported)
        return err_set(err, ERR_UNSUPPORTED, "%s: %s: type %.20s is not supported; save it as F32",
                       rd->path, f->name, f->unsupported);
    struct lora_pair *p = &rd->lora->pair[i_layer * ROLE_COUNT + (int32_t)r->role];
    return check_shape(rd, r, f, is_b, err) && fill(rd, r, f, is_b, is_b ? &p->b : &p->a, err);
}

/* Each A has its B, of the same rank. */
static bool check_pairs(const struct reading *rd, struct err *err)
{
    struct lora *l = rd->lora;
    for (int32_t i = 0; i < l->n_layers * ROLE_COUNT; i++) {
        const struct lora_pair *p = &l->pair[i];
        if (p->a.n_dims == 0 && p->b.n_dims == 0) continue;
        const int64_t a = p->a.n_dims ? p->a.shape[0] : 0, b = p->b.n_dims ? tensor_cols(&p->b) : 0;
        if (a != b)
            return err_set(err, ERR_FORMAT,
                           "%s: %s of layer %d: A has rank %" PRId64 ", B has %" PRId64
                           "; fetch the adapter again",
                           rd->path, tensor_rows_table[i % ROLE_COUNT].gguf, (int)(i / ROLE_COUNT),
                           a, b);
        l->n_pairs++;
        if (a > l->rank) l->rank = (int32_t)a;
    }
    return l->n_pairs > 0 ||
           err_set(err, ERR_FORMAT, "%s: there is no pair of matrices in it", rd->path);
}

/* ---- PEFT ---- */

/* True if the config's `key` is absent, null, false, an empty collection or `neutral`. */
static bool is_neutral(struct json root, const char *key, const char *neutral)
{
    const struct json v = json_get(root, key);
    bool flag = false;
    const char *s = NULL;
    if (json_type(v) <= JSON_NULL) return true;
    if (json_bool(v, &flag)) return !flag;
    if (json_str(v, &s, NULL)) return neutral && strcmp(s, neutral) == 0;
    return json_type(v) >= JSON_ARRAY && json_len(v) == 0;
}

static bool read_config(struct reading *rd, struct json root, struct err *err)
{
    static const struct {
        const char *key, *neutral;
    } unsupported[] = {{"bias", "none"},
                       {"use_dora", NULL},
                       {"modules_to_save", NULL},
                       {"fan_in_fan_out", NULL},
                       {"lora_bias", NULL},
                       {"alpha_pattern", NULL},
                       {"use_qalora", NULL},
                       {"trainable_token_indices", NULL},
                       {"target_parameters", NULL},
                       {"alora_invocation_tokens", NULL},
                       {"layer_replication", NULL}};
    const char *type = "", *key = NULL;
    if (json_type(root) != JSON_OBJECT || json_has_duplicate(root, &key))
        return err_set(err, ERR_FORMAT, "%s: adapter_config.json is no object with a key once each",
                       rd->path);
    json_str(json_get(root, "peft_type"), &type, NULL);
    if (strcmp(type, "LORA") != 0)
        return err_set(err, ERR_UNSUPPORTED, "%s: peft_type is \"%.40s\"; only LORA is supported",
                       rd->path, type);
    for (size_t i = 0; i < sizeof unsupported / sizeof *unsupported; i++)
        if (!is_neutral(root, unsupported[i].key, unsupported[i].neutral))
            return err_set(err, ERR_UNSUPPORTED,
                           "%s: adapter_config.json has %s, which is not supported; merge the "
                           "adapter into the model with PEFT",
                           rd->path, unsupported[i].key);
    rd->is_rslora = !is_neutral(root, "use_rslora", NULL);
    if (!json_f64(json_get(root, "lora_alpha"), &rd->alpha) || !(fabs(rd->alpha) <= 1e6))
        return err_set(err, ERR_FORMAT,
                       "%s: adapter_config.json: lora_alpha is no number within -1e6..1e6",
                       rd->path);
    return true;
}

static bool read_peft(struct reading *rd, struct json config, const struct safetensors *s,
                      struct err *err)
{
    rd->pairs = ROPE_HALVES;
    bool ok = read_config(rd, config, err);
    for (size_t i = 0; ok && i < safetensors_n(s); i++) {
        const struct safetensor *t = safetensors_at(s, i);
        ok = place(rd, &(struct found){t->name, &t->t, t->is_supported ? NULL : t->dtype_name},
                   true, err);
    }
    return ok;
}

static bool read_peft_dir(struct reading *rd, struct err *err)
{
    struct buf path, text;
    struct json_doc *d = NULL;
    struct safetensors *s = NULL;
    buf_init(&path, 4096);
    buf_init(&text, MAX_CONFIG_BYTES);
    path_join(&path, rd->path, "adapter_config.json");
    bool ok = buf_check(&path, "the adapter's path", err) &&
              file_read_all(path.data, MAX_CONFIG_BYTES, &text, err) &&
              (d = json_parse(text.data ? text.data : "", text.n_bytes, MAX_CONFIG_BYTES, path.data,
                              err)) != NULL;
    if (ok) path_join(&path, rd->path, "adapter_model.safetensors");
    ok = ok && buf_check(&path, "the adapter's path", err) &&
         (s = safetensors_open(path.data, err)) != NULL && read_peft(rd, json_root(d), s, err);
    safetensors_close(s);
    json_free(d);
    buf_release(&text);
    buf_release(&path);
    return ok;
}

/* ---- GGUF ---- */

static bool has_text(const struct gguf *g, const char *path, const char *key, const char *want,
                     struct err *err)
{
    const char *s = "";
    size_t n = 0;
    if (!gguf_str(g, key, &s, &n, NULL, err)) return false;
    return (n == strlen(want) && memcmp(s, want, n) == 0) ||
           err_set(err, ERR_FORMAT, "%s: %s is '%.*s', expected '%s'; name a LoRA adapter", path,
                   key, (int)(n < 40 ? n : 40), s, want);
}

/* Takes `g`, which may be NULL: then `err` is filled. */
static bool read_gguf(struct reading *rd, struct gguf *g, struct err *err)
{
    bool has_alpha = false;
    rd->pairs = ROPE_ADJACENT;
    bool ok = g && has_text(g, rd->path, "general.type", "adapter", err) &&
              has_text(g, rd->path, "adapter.type", "lora", err) &&
              gguf_f64(g, "adapter.lora.alpha", -1e6, 1e6, &rd->alpha, &has_alpha, err);
    if (ok && !has_alpha)
        ok = err_set(err, ERR_FORMAT, "%s: adapter.lora.alpha is missing; convert it again",
                     rd->path);
    for (size_t i = 0; ok && i < gguf_n_tensors(g); i++) {
        const struct gguf_tensor *t = gguf_tensor(g, i);
        ok = place(rd, &(struct found){t->name, &t->t, t->is_supported ? NULL : "of this number"},
                   false, err);
    }
    gguf_close(g);
    return ok;
}

/* ---- life ---- */

static struct lora *lora_new(const struct model_config *c, struct err *err)
{
    struct lora *l = calloc(1, sizeof *l);
    if (!l) {
        err_set(err, ERR_MEMORY, "no memory for an adapter");
        return NULL;
    }
    l->n_layers = c->n_layers;
    l->id = atomic_fetch_add(&last_id, 1) + 1;
    atomic_store(&l->n_holders, 1);
    l->arena = arena_new(MAX_ADAPTER_BYTES, err);
    if (l->arena)
        l->pair = arena_array(l->arena, (size_t)c->n_layers * ROLE_COUNT, sizeof *l->pair, err);
    if (l->pair) return l;
    lora_close(l);
    return NULL;
}

static bool begin(struct reading *rd, const char *path, const struct model *m, float scale,
                  struct err *err)
{
    *rd = (struct reading){.c = model_config(m), .path = path, .scale = (double)scale};
    rd->lora = lora_new(rd->c, err);
    return rd->lora != NULL;
}

static struct lora *end(struct reading *rd, bool ok, struct err *err)
{
    if (ok && check_pairs(rd, err)) return rd->lora;
    lora_close(rd->lora);
    return NULL;
}

struct lora *lora_open(const char *path, const struct model *m, float scale, struct err *err)
{
    struct reading rd;
    if (!begin(&rd, path, m, scale, err)) return NULL;
    return end(&rd,
               path_is_dir(path) ? read_peft_dir(&rd, err)
                                 : read_gguf(&rd, gguf_open(path, err), err),
               err);
}

struct lora *lora_from_gguf(const uint8_t *data, size_t n_bytes, const char *name,
                            const struct model *m, float scale, struct err *err)
{
    struct reading rd;
    if (!begin(&rd, name, m, scale, err)) return NULL;
    return end(&rd, read_gguf(&rd, gguf_open_memory(data, n_bytes, name, err), err), err);
}

struct lora *lora_from_peft(const char *config, size_t n_config, const uint8_t *weights,
                            size_t n_weights, const char *name, const struct model *m, float scale,
                            struct err *err)
{
    struct reading rd;
    if (!begin(&rd, name, m, scale, err)) return NULL;
    struct json_doc *d = json_parse(config, n_config, MAX_CONFIG_BYTES, name, err);
    struct safetensors *s = d ? safetensors_open_memory(weights, n_weights, name, err) : NULL;
    struct lora *l = end(&rd, s && read_peft(&rd, json_root(d), s, err), err);
    safetensors_close(s);
    json_free(d);
    return l;
}

struct lora *lora_hold(struct lora *l)
{
    if (l) atomic_fetch_add(&l->n_holders, 1);
    return l;
}

void lora_close(struct lora *l)
{
    if (!l || atomic_fetch_sub(&l->n_holders, 1) > 1) return;
    arena_free(l->arena);
    free(l);
}

/* ---- what it has ---- */

const struct lora_pair *lora_pair(const struct lora *l, enum tensor_role role, int32_t i_layer)
{
    const struct lora_pair *p = &l->pair[(i_layer < 0 ? 0 : i_layer) * ROLE_COUNT + (int32_t)role];
    return p->a.n_dims ? p : NULL;
}

int64_t lora_id(const struct lora *l) { return l ? l->id : 0; }
int32_t lora_rank(const struct lora *l) { return l->rank; }
int32_t lora_n_pairs(const struct lora *l) { return l->n_pairs; }
uint64_t lora_bytes(const struct lora *l) { return arena_used(l->arena); }
