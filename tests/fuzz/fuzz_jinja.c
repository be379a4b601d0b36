/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_jinja.c - any text as a chat template, run on a small conversation with tight limits.
 */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "fuzz.h"
#include "text/jinja.h"

#define MAX_ARENA_BYTES ((size_t)64 << 20)

static const struct jinja_limits limits = {.max_template_bytes = 1 << 16,
                                           .max_output_bytes = 1 << 20,
                                           .max_steps = 20000,
                                           .max_depth = 100};

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    static const struct chat_message message[] = {
        {"system", "s", 1, NULL},
        {"user", " h\xc3\xa9llo <|im_end|> \n", 20, NULL},
        {"assistant", "", 0, "[{\"function\":{\"name\":\"f\",\"arguments\":\"{\\\"a\\\":1.5}\"}}]"},
        {"x", "\xff\x80", 2, NULL},
    };
    static const struct chat_input chat = {.message = message,
                                           .n_messages = 4,
                                           .opens_answer = true,
                                           .tools_json = "[{\"name\":\"f\",\"n\":[1,null,true]}]",
                                           .date = "1 May 2025"};
    static const struct vocab v = {
        .bos = -1, .eos = -1, .eot = -1, .eom = -1, .unk = -1, .pad = -1};
    const struct jinja_input in = {.chat = &chat, .v = &v, .now_s = 1};
    struct err err = {0};
    struct text_piece *piece = NULL;
    size_t n_pieces = 0;
    struct arena *a = arena_new(MAX_ARENA_BYTES, &err);
    if (!a) return 0;
    struct jinja_template *t = jinja_parse((const char *)data, n_bytes, &limits, a, &err);
    const bool ok = t && jinja_render(t, &in, &piece, &n_pieces, &err);
    assert(ok == (err.code == ERR_OK)); /* a refusal always says why */
    for (size_t i = 0; ok && i < n_pieces; i++) fuzz_touch(piece[i].text, piece[i].n);
    arena_free(a);
    return 0;
}
