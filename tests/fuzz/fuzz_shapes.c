/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_shapes.c - any bytes as a body of /v1/responses, /v1/messages or /v1/chat/completions, all
 * the way to a prompt: translated, read as a chat with its functions, rendered and turned to ids.
 *
 * A body's own "chain" stands for the items of earlier turns, "left_out" for how many of them a
 * truncation leaves out. A translation must be JSON that can be parsed, and a refusal says why.
 */
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "serve/gen_params.h"
#include "serve/translate.h"
#include "tiny_model.h"

enum { MAX_BYTES = 1 << 20, SEED = 1 };

static void read_chat(const struct gen_model *m, struct json body, struct refusal *r)
{
    struct gen_params p;
    struct ids *prompt = calloc(GEN_MAX_PROMPTS, sizeof *prompt);
    int32_t n = 0;
    if (!prompt) return;
    bool ok = gen_params_read(GEN_CHAT, m, body, &p, r);
    if (ok) fuzz_touch(p.form.text.data, p.form.text.n_bytes);
    ok = ok && gen_prompts(GEN_CHAT, m, &p, prompt, &n, r);
    fuzz_must(ok == (r->kind == REFUSAL_NONE));
    fuzz_must(!ok || (n == 1 && prompt[0].n > 0));
    for (int32_t i = 0; i < n; i++) ids_release(&prompt[i]);
    free(prompt);
    gen_params_release(&p);
}

static void translate(const struct gen_model *m, const struct shape *s, struct json body)
{
    struct refusal r = {0};
    struct shape_ask ask;
    struct translation t;
    int64_t n_left_out = 0;
    struct json chain = json_get(body, "chain");
    if (json_type(chain) != JSON_ARRAY) chain = (struct json){0};
    if (!json_i64(json_get(body, "left_out"), &n_left_out) || n_left_out < 0) n_left_out = 0;
    translation_init(&t);
    if (shape_read(s, body, &ask, &r) &&
        shape_translate(s, body, &ask, chain, (size_t)n_left_out, &t, &r)) {
        struct json_doc *chat = body_parse(t.chat.data, t.chat.n_bytes, t.chat.n_bytes, &r);
        if (chat) read_chat(m, json_root(chat), &r);
        json_free(chat);
        if (r.kind != REFUSAL_NONE) shape_rename(s, &t, &r);
    } else {
        fuzz_must(r.kind != REFUSAL_NONE);
    }
    fuzz_must(memchr(r.text, '\0', sizeof r.text) && memchr(r.field, '\0', sizeof r.field));
    translation_release(&t);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static struct gen_model m;
    struct refusal r = {0};
    if (!m.model) m = gen_model(tiny_model_open(SEED), TINY_CTX, 4);
    struct json_doc *d = body_parse(data, n_bytes, MAX_BYTES, &r);
    if (!d) return 0;
    read_chat(&m, json_root(d), &r);
    translate(&m, &shape_responses, json_root(d));
    translate(&m, &shape_messages, json_root(d));
    json_free(d);
    return 0;
}
