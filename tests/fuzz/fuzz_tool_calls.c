/* SPDX-License-Identifier: Apache-2.0
 *
 * fuzz_tool_calls.c - anything a model may say: calls begin and end in turn, of functions that
 * there are, and what is heard does not depend on where the stream is cut.
 */
#include <assert.h>
#include <string.h>

#include "fuzz.h"
#include "base/buf.h"
#include "text/tool_calls.h"

struct ear {
    struct buf heard;
    bool is_in_call;
};

static const char *const names[] = {"add", "python", "f"};

static void hear(void *user, const struct call_event *ev)
{
    struct ear *e = user;
    assert((ev->kind == CALL_TEXT || ev->kind == CALL_BEGIN) != e->is_in_call);
    if (ev->kind == CALL_BEGIN || ev->kind == CALL_END) {
        assert(ev->i_tool >= 0 && ev->i_tool < 3);
        e->is_in_call = ev->kind == CALL_BEGIN;
        buf_putc(&e->heard, (char)('0' + ev->i_tool));
    } else {
        assert(ev->n_text > 0);
        buf_append(&e->heard, ev->text, ev->n_text);
    }
}

static void run(struct ear *e, const uint8_t *data, size_t n_bytes, int32_t n_names, size_t n_piece)
{
    struct err err = {0};
    buf_init(&e->heard, (size_t)1 << 30);
    e->is_in_call = false;
    struct call_parser *p = call_parser_new(names, n_names, hear, e, &err);
    assert(p);
    for (size_t i = 0; i < n_bytes; i += n_piece)
        call_parser_feed(p, (const char *)data + i, n_bytes - i < n_piece ? n_bytes - i : n_piece);
    call_parser_end(p);
    assert(!e->is_in_call);
    call_parser_free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t n_bytes)
{
    struct ear a, b;
    if (n_bytes < 1) return 0;
    const int32_t n_names = 1 + data[0] % 3;
    run(&a, data + 1, n_bytes - 1, n_names, 1);
    run(&b, data + 1, n_bytes - 1, n_names, 1 + data[0] / 3u);
    assert(a.heard.n_bytes == b.heard.n_bytes);
    assert(a.heard.n_bytes == 0 || memcmp(a.heard.data, b.heard.data, a.heard.n_bytes) == 0);
    buf_release(&a.heard);
    buf_release(&b.heard);
    return 0;
}
