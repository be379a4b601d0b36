/* SPDX-License-Identifier: Apache-2.0
 *
 * prompt.c - small shared steps between the user's words and token ids.
 *
 * Showing the final prompt with its token borders is here because users of every peer beg for it:
 * most wrong answers of a local model are a wrong prompt (doubled BOS, missing template).
 */
#include "cli/prompt.h"

#include <inttypes.h>
#include <time.h>

#include "base/json.h"
#include "base/json_write.h"

void prompt_quote(FILE *out, const char *s, size_t n)
{
    fputc('"', out);
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)s[i];
        if (c == '\n')
            fputs("\\n", out);
        else if (c == '\r')
            fputs("\\r", out);
        else if (c == '\t')
            fputs("\\t", out);
        else if (c == '"' || c == '\\')
            fprintf(out, "\\%c", c);
        else if (c < 0x20 || c == 0x7f)
            fprintf(out, "\\x%02x", c);
        else
            fputc(c, out);
    }
    fputc('"', out);
}

void prompt_show(FILE *out, const struct tokenizer *t, const int32_t *id, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t n_bytes = 0;
        const char *s = tokenizer_bytes(t, id[i], true, &n_bytes);
        fprintf(out, "%s%" PRId32 ":", i ? " " : "", id[i]);
        prompt_quote(out, s, n_bytes);
    }
    fputc('\n', out);
}

bool prompt_parse_ids(const char *json, size_t n, const char *name, int32_t n_vocab,
                      struct ids *out, struct err *err)
{
    struct json_doc *d = json_parse(json, n, (size_t)1 << 28, name, err);
    if (!d) return false;
    bool ok = false;
    const struct json root = json_root(d);
    if (json_type(root) != JSON_ARRAY) {
        err_set(err, ERR_USAGE, "%s: not a JSON array of token ids, such as [1, 2, 3]", name);
        goto out;
    }
    struct json_iter it = json_iter(root);
    struct json v;
    for (size_t i = 0; json_next(&it, NULL, NULL, &v); i++) {
        int64_t id = 0;
        if (!json_i64(v, &id)) id = -1;
        if (id < 0 || id >= n_vocab) {
            err_set(err, ERR_USAGE,
                    "%s: element %zu (%" PRId64 ") is no token id; give whole numbers from 0 to %d",
                    name, i, id, n_vocab - 1);
            goto out;
        }
        if (!ids_push(out, (int32_t)id, err)) goto out;
    }
    ok = true;
out:
    json_free(d);
    return ok;
}

void prompt_write_ids(struct buf *out, const int32_t *id, size_t n)
{
    struct json_writer w = json_writer(out);
    json_array(&w);
    for (size_t i = 0; i < n; i++) json_int(&w, id[i]);
    json_end(&w);
}

void prompt_today(char out[32])
{
    const time_t now = time(NULL);
    struct tm tm;
    localtime_r(&now, &tm);
    strftime(out, 32, "%d %b %Y", &tm);
}
