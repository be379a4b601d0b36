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
#include "model/describe.h"

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

char *cria_model_inspect(const struct cria_model *m, struct cria_error *err)
{
    *err = (struct cria_error){.code = CRIA_OK};
    struct buf b;
    buf_init(&b, (size_t)1 << 20);
    struct json_writer w = json_writer(&b);
    json_object(&w);
    model_describe(m->m, &w);
    json_end(&w);
    struct err why = {0};
    if (buf_check(&b, "the description", &why)) return buf_take(&b);
    buf_release(&b);
    api_fail(err, &why);
    return NULL;
}
