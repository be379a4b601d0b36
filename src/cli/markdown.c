/* SPDX-License-Identifier: Apache-2.0
 *
 * markdown.c - Markdown coloured while it streams: headings, **bold**, *italic*, `code`, code
 * blocks, lists, quotes.
 *
 * A parser such as md4c wants the whole document, and an answer is read while it is written. So
 * this is a small writer that decides byte by byte and holds back only a run of equal marks until
 * it knows how long the run is. Where Markdown would look ahead (is this ** ever closed?) it
 * guesses from the neighbours, and a wrong guess costs colour, never text. Bold, italic and code
 * spans therefore end with their line at the latest.
 *
 * A model's words may hold escape sequences that would move the cursor, set the window's title or
 * worse: on a terminal control characters are shown as ^[ and never sent.
 *
 * Invariants
 *   M1  without its colour sequences the output is the input, byte for byte, in any cut of the
 *       input into feeds (control characters aside).
 *   M2  a feed leaves back at most one run of equal marks.
 *
 * Begin reading at markdown_feed().
 */
#include "cli/markdown.h"

#include <ctype.h>
#include <string.h>

void markdown_begin(struct markdown *m, enum markdown_mode mode)
{
    *m = (struct markdown){.mode = mode, .n_run_indent = -1, .before = '\n'};
}

/* The colours that hold from here on. */
static void put_style(const struct markdown *m, struct buf *out)
{
    buf_puts(out, "\033[0m");
    if (m->is_heading || m->is_bold) buf_puts(out, "\033[1m");
    if (m->is_italic) buf_puts(out, "\033[3m");
    if (m->is_quote) buf_puts(out, "\033[2m");
    if (m->n_code || m->fence) buf_puts(out, "\033[36m");
}

static void put(struct markdown *m, char c, struct buf *out)
{
    const unsigned char u = (unsigned char)c;
    if ((u < 0x20 && u != '\n' && u != '\t') || u == 0x7f)
        buf_printf(out, "^%c", u ^ 0x40);
    else
        buf_putc(out, c);
    m->before = u;
}

static void put_run(struct markdown *m, struct buf *out)
{
    for (int i = 0; i < m->n_run; i++) put(m, m->run, out);
}

/* A mark in bold by itself: a bullet, a number. */
static void put_bullet(struct markdown *m, struct buf *out)
{
    buf_puts(out, "\033[1m");
    put_run(m, out);
    put_style(m, out);
}

static bool is_word(unsigned char c) { return isalnum(c) || c >= 0x80; }
static bool is_gap(unsigned char c) { return c == ' ' || c == '\n' || c == '\t'; }

/* Stars and underscores between `before` and `next`: opens, closes, or is itself. */
static void end_emphasis(struct markdown *m, unsigned char next, struct buf *out)
{
    bool *bold = m->n_run >= 2 ? &m->is_bold : NULL;
    bool *italic = m->n_run != 2 ? &m->is_italic : NULL;
    const bool is_on = (bold && *bold) || (italic && *italic);
    const bool is_under = m->run == '_';
    const bool can_open = !is_gap(next) && !(is_under && is_word(m->before));
    const bool can_close = !is_gap(m->before) && !(is_under && is_word(next));
    if (m->n_run > 3 || !(is_on ? can_close : can_open)) {
        put_run(m, out);
        return;
    }
    if (is_on) put_run(m, out);
    if (bold) *bold = !is_on;
    if (italic) *italic = !is_on;
    put_style(m, out);
    if (!is_on) put_run(m, out);
}

static void end_ticks(struct markdown *m, struct buf *out)
{
    if (!m->n_code && m->n_run_indent >= 0 && m->n_run >= 3) {
        m->fence = m->run;
        m->n_fence = m->n_run;
        put_style(m, out);
        put_run(m, out);
    } else if (m->run == '~' || (m->n_code && m->n_code != m->n_run)) {
        put_run(m, out);
    } else if (m->n_code) {
        put_run(m, out);
        m->n_code = 0;
        put_style(m, out);
    } else {
        m->n_code = m->n_run;
        put_style(m, out);
        put_run(m, out);
    }
}

/* The held run is over, `next` follows (a newline at the end of the text). */
static void end_run(struct markdown *m, char next, struct buf *out)
{
    const bool begins_line = m->n_run_indent >= 0;
    if (m->fence) {
        const bool closes = m->run == m->fence && begins_line && m->n_run >= m->n_fence;
        put_run(m, out);
        if (closes) m->fence = 0;
        if (closes) put_style(m, out);
    } else if (m->run == '`' || m->run == '~') {
        end_ticks(m, out);
    } else if (m->run == '#') {
        m->is_heading = m->n_run <= 6 && is_gap((unsigned char)next);
        if (m->is_heading) put_style(m, out);
        put_run(m, out);
    } else if (begins_line && is_gap((unsigned char)next) && m->n_run == 1 && m->run != '_') {
        put_bullet(m, out);
    } else if (m->run == '-' || m->run == '+') {
        put_run(m, out);
    } else {
        end_emphasis(m, (unsigned char)next, out);
    }
    m->run = 0;
    m->n_run = 0;
}

static bool begins_run(const struct markdown *m, char c)
{
    const bool begins_line = m->n_indent >= 0;
    if (m->is_escaped) return false;
    if (m->fence) return c == m->fence && begins_line;
    if (c == '`') return true;
    if (m->n_code) return false;
    if (c == '*' || c == '_') return true;
    return begins_line && (c == '#' || c == '~' || c == '-' || c == '+');
}

static void end_line(struct markdown *m, struct buf *out)
{
    const bool has_style = m->is_heading || m->is_bold || m->is_italic || m->is_quote || m->n_code;
    m->is_heading = m->is_bold = m->is_italic = m->is_quote = false;
    m->n_code = 0;
    if (has_style) put_style(m, out);
    put(m, '\n', out);
    m->n_indent = 0;
    m->is_escaped = false;
}

static void feed_byte(struct markdown *m, char c, struct buf *out)
{
    if (m->run) {
        if (c == m->run) {
            m->n_run++;
            return;
        }
        end_run(m, c, out);
    }
    if (begins_run(m, c)) {
        m->run = c;
        m->n_run = 1;
        m->n_run_indent = m->n_indent;
        m->n_indent = -1;
        return;
    }
    if (c == '\n') {
        end_line(m, out);
        return;
    }
    if (c == '>' && m->n_indent >= 0 && !m->fence) {
        m->is_quote = true;
        put_style(m, out);
    }
    m->is_escaped = c == '\\' && !m->is_escaped && !m->n_code && !m->fence;
    if (c != ' ')
        m->n_indent = -1;
    else if (m->n_indent >= 0)
        m->n_indent++;
    put(m, c, out);
}

/* The control characters U+0080 to U+009F are two bytes: C2 and the character. */
static size_t put_c1(struct markdown *m, const char *s, size_t n, struct buf *out)
{
    const unsigned char *u = (const unsigned char *)s;
    if (n < 2 || u[0] != 0xc2 || u[1] < 0x80 || u[1] > 0x9f) return 0;
    if (m->run) end_run(m, s[0], out);
    m->n_indent = -1;
    buf_printf(out, "<U+%04X>", u[1]);
    return 2;
}

void markdown_feed(struct markdown *m, const char *s, size_t n_bytes, struct buf *out)
{
    if (m->mode == MARKDOWN_RAW) {
        buf_append(out, s, n_bytes);
        return;
    }
    for (size_t i = 0; i < n_bytes;) {
        const size_t n_c1 = put_c1(m, s + i, n_bytes - i, out);
        i += n_c1;
        if (n_c1) continue;
        if (m->mode == MARKDOWN_COLOR)
            feed_byte(m, s[i], out);
        else
            put(m, s[i], out);
        i++;
    }
}

void markdown_end(struct markdown *m, struct buf *out)
{
    if (m->mode == MARKDOWN_COLOR) {
        if (m->run) end_run(m, '\n', out);
        buf_puts(out, "\033[0m");
    }
    markdown_begin(m, m->mode);
}
