/* SPDX-License-Identifier: Apache-2.0
 *
 * api_model.c - models as the public interface shows them: open, look, close.
 *
 * Handles are structs of one pointer, so that inner names may change without touching a caller's
 * compiled code.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "api/api_parts.h"
#include "base/json_write.h"

/* The codes are one list under two names. */
static_assert((int)CRIA_USAGE == (int)ERR_USAGE && (int)CRIA_MEMORY == (int)ERR_MEMORY &&
                  (int)CRIA_NETWORK == (int)ERR_NETWORK,
              "cria_code follows err_code");

bool api_fail(struct cria_error *out, const struct err *err)
{
    static_assert(sizeof out->text == sizeof err->text, "texts are of one size");
    out->code = (enum cria_code)err->code;
    memcpy(out->text, err->text, sizeof out->text);
    return false;
}

const char *cria_version(void) { return "0.1.0"; }

void cria_free(void *p) { free(p); }

struct cria_model *cria_model_open(const char *path, struct cria_error *err)
{
    struct err why = {0};
    *err = (struct cria_error){.code = CRIA_OK};
    struct cria_model *m = calloc(1, sizeof *m);
    if (m)
        m->m = model_open(path, &why);
    else
        err_set(&why, ERR_MEMORY, "no memory for a model");
    if (m && m->m) return m;
    free(m);
    api_fail(err, &why);
    return NULL;
}

void cria_model_close(struct cria_model *m)
{
    if (!m) return;
    model_close(m->m);
    free(m);
}

int32_t cria_model_n_vocab(const struct cria_model *m) { return model_config(m->m)->n_vocab; }
int32_t cria_model_n_ctx(const struct cria_model *m) { return model_config(m->m)->n_ctx; }

static void put_int(struct json_writer *w, const char *key, int64_t v)
{
    json_key(w, key);
    json_int(w, v);
}

static void put_text(struct json_writer *w, const char *key, const char *s)
{
    json_key(w, key);
    json_cstring(w, s);
}

static void put_shape(struct json_writer *w, const struct model_config *c)
{
    static const char *const scalings[] = {"none", "linear", "dynamic", "llama3"};
    put_int(w, "n_layers", c->n_layers);
    put_int(w, "d_model", c->d_model);
    put_int(w, "n_heads", c->n_heads);
    put_int(w, "n_kv_heads", c->n_kv_heads);
    put_int(w, "d_head", c->d_head);
    put_int(w, "d_ff", c->d_ff);
    put_int(w, "n_vocab", c->n_vocab);
    put_int(w, "n_ctx", c->n_ctx);
    json_key(w, "norm_eps");
    json_float(w, c->norm_eps);
    json_key(w, "rope_theta");
    json_double(w, c->rope_theta);
    put_text(w, "rope_scaling", scalings[c->rope_scaling]);
    json_key(w, "is_tied");
    json_boolean(w, c->is_tied);
    put_int(w, "kv_bytes_per_token_f16", (int64_t)config_kv_bytes(c, DT_F16));
}

char *cria_model_inspect(const struct cria_model *m, struct cria_error *err)
{
    *err = (struct cria_error){.code = CRIA_OK};
    const struct model_info *info = model_info(m->m);
    const struct chat_family *chat = model_chat_family(m->m);
    const struct tokenizer *t = model_tokenizer(m->m);
    struct buf b;
    buf_init(&b, (size_t)1 << 20);
    struct json_writer w = json_writer(&b);
    json_object(&w);
    put_text(&w, "path", info->path);
    put_text(&w, "name", info->name);
    put_text(&w, "license", info->license);
    put_text(&w, "type", info->type_name);
    put_int(&w, "n_params", (int64_t)info->n_params);
    put_int(&w, "file_bytes", (int64_t)info->file_bytes);
    put_shape(&w, model_config(m->m));
    put_text(&w, "tokenizer", t ? tokenizer_family(t) : NULL);
    put_text(&w, "chat", chat ? chat->name : NULL);
    json_end(&w);
    struct err why = {0};
    if (buf_check(&b, "the description", &why)) return buf_take(&b);
    buf_release(&b);
    api_fail(err, &why);
    return NULL;
}
