/* SPDX-License-Identifier: Apache-2.0
 *
 * read_pdf.c - PDF files: the text that pdftotext (poppler) finds, page by page.
 *
 * Each page begins with a heading "Page N", so that a passage knows its page and a citation can
 * name it. A scanned page has no text; nothing here reads pictures.
 */
#include "retrieve/reader.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "retrieve/sandbox.h"

static void put_pages(const char *s, size_t n_bytes, struct doc *out)
{
    int page = 1;
    for (size_t i = 0; i < n_bytes; page++) {
        const char *ff = memchr(s + i, '\f', n_bytes - i);
        const size_t end = ff ? (size_t)(ff - s) : n_bytes;
        char heading[32];
        const int n = snprintf(heading, sizeof heading, "Page %d", page);
        doc_begin(out, DOC_HEADING, 6);
        doc_text(out, heading, (size_t)n);
        read_paragraphs(s + i, end - i, out);
        i = end + 1;
    }
}

static bool read_pdf(const struct reader_input *in, struct doc *out, struct err *err)
{
    static const char *const argv[] = {"/usr/bin/pdftotext", "-q", "-enc", "UTF-8", "-", "-", NULL};
    static const struct sandbox_limits limits = {.wall_s = 60, .memory_bytes = UINT64_C(2) << 30};
    if (access(argv[0], X_OK) != 0)
        return err_set(err, ERR_UNSUPPORTED, "PDF reading needs pdftotext; install poppler-utils");
    struct buf text;
    buf_init(&text, DOC_MAX_TEXT_BYTES);
    const bool ok = sandbox_run(argv, in->data, in->n_bytes, &limits, &text, err);
    const char *slash = strrchr(in->name, '/'), *base = slash ? slash + 1 : in->name;
    doc_set_title(out, base, strlen(base)); /* not "Page 1" */
    if (ok) put_pages(text.data ? text.data : "", text.n_bytes, out);
    buf_release(&text);
    return ok;
}

static bool sniff_pdf(const uint8_t *data, size_t n_bytes)
{
    return n_bytes >= 5 && memcmp(data, "%PDF-", 5) == 0;
}

static const char *const extensions[] = {"pdf", NULL};

const struct reader reader_pdf = {
    .name = "pdf",
    .what = "PDF (by pdftotext)",
    .extensions = extensions,
    .mime = "application/pdf",
    .sniff = sniff_pdf,
    .read = read_pdf,
};
