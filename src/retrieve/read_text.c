/* SPDX-License-Identifier: Apache-2.0
 *
 * read_text.c - plain text: paragraphs parted by empty lines.
 *
 * Lines of one paragraph are joined, since most plain text is wrapped at some column; a line that
 * begins with a list mark is a block of its own. A text without empty lines whose lines are long is
 * one paragraph a line (e-mail exports, one-line-a-record files).
 */
#include "retrieve/reader.h"

#include <string.h>

#include "retrieve/decode_text.h"

enum { LONG_LINE = 120 };

/* One past the line that begins at i, without its line feed. */
static size_t line_end(const char *s, size_t n, size_t i)
{
    const char *nl = memchr(s + i, '\n', n - i);
    return nl ? (size_t)(nl - s) : n;
}

static size_t first_letter(const char *s, size_t i, size_t end)
{
    while (i < end && (s[i] == ' ' || s[i] == '\t' || s[i] == '\r' || s[i] == '\f')) i++;
    return i;
}

/* "- ", "* ", "12. ", "12) " */
static bool is_item(const char *s, size_t i, size_t end)
{
    size_t digits = i;
    while (digits < end && digits < i + 3 && s[digits] >= '0' && s[digits] <= '9') digits++;
    if (digits > i)
        return digits + 1 < end && (s[digits] == '.' || s[digits] == ')') && s[digits + 1] == ' ';
    return i + 1 < end && (s[i] == '-' || s[i] == '*') && s[i + 1] == ' ';
}

void read_paragraphs(const char *s, size_t n_bytes, struct doc *out)
{
    bool is_open = false;
    for (size_t i = 0, end = 0; i < n_bytes; i = end + 1) {
        end = line_end(s, n_bytes, i);
        const size_t begin = first_letter(s, i, end);
        if (begin == end) {
            is_open = false;
            continue;
        }
        const bool item = is_item(s, begin, end), is_long = end - begin > LONG_LINE;
        if (!is_open || item || is_long) doc_begin(out, item ? DOC_ITEM : DOC_PARAGRAPH, 0);
        doc_text(out, s + begin, end - begin);
        doc_space(out);
        is_open = !is_long;
    }
    doc_end(out);
}

static bool sniff_text(const uint8_t *data, size_t n_bytes)
{
    if (n_bytes >= 2 &&
        ((data[0] == 0xFF && data[1] == 0xFE) || (data[0] == 0xFE && data[1] == 0xFF)))
        return true; /* UTF-16 has zero bytes */
    size_t n_odd = 0;
    const size_t n = n_bytes < 8192 ? n_bytes : 8192;
    for (size_t i = 0; i < n; i++) {
        if (data[i] == 0) return false;
        n_odd += data[i] < 0x20 && !strchr("\t\n\r\f\x1b", data[i]);
    }
    return n > 0 && n_odd * 50 < n;
}

static bool read_text(const struct reader_input *in, struct doc *out, struct err *err)
{
    struct buf text;
    buf_init(&text, DOC_MAX_TEXT_BYTES);
    const bool ok = decode_text(in->data, in->n_bytes, in->charset, &text, err);
    if (ok) read_paragraphs(text.data ? text.data : "", text.n_bytes, out);
    buf_release(&text);
    return ok;
}

static const char *const extensions[] = {"txt",    "text",    "log", "rst", "tex", "org", "eml",
                                         "README", "LICENSE", "srt", "csv", "tsv", NULL};

const struct reader reader_text = {
    .name = "text",
    .what = "plain text",
    .extensions = extensions,
    .mime = "text/plain",
    .sniff = sniff_text,
    .read = read_text,
};
