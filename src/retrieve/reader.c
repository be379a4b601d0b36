/* SPDX-License-Identifier: Apache-2.0
 *
 * reader.c - the list of formats, and which of them a file is.
 *
 * The name's extension decides if there is one that we know: a Markdown file that begins with an
 * HTML comment is Markdown. Else the MIME type, else the bytes, for files without extension and
 * pages from the web. Text without NUL bytes is plain text; the rest is binary and nobody's.
 */
#include "retrieve/reader.h"

#include <string.h>
#include <strings.h>

extern const struct reader reader_text, reader_code, reader_markdown, reader_html, reader_docx,
    reader_pdf;

/* What sniffs comes before what does not; plain text last, since it takes everything. */
const struct reader *const readers[] = {&reader_pdf,  &reader_html, &reader_docx, &reader_markdown,
                                        &reader_code, &reader_text, NULL};

enum { SNIFF_BYTES = 8192 };

static bool has_extension(const struct reader *r, const char *ext)
{
    for (const char *const *e = r->extensions; *e; e++)
        if (strcasecmp(*e, ext) == 0) return true;
    return false;
}

const struct reader *reader_find(const char *name, const char *mime, const uint8_t *data,
                                 size_t n_bytes)
{
    const char *slash = strrchr(name, '/'), *base = slash ? slash + 1 : name;
    const char *dot = strrchr(base, '.'), *ext = dot ? dot + 1 : base;
    const struct reader *found = NULL;
    for (const struct reader *const *r = readers; *r && !found && !mime; r++)
        if (has_extension(*r, ext)) found = *r;
    for (const struct reader *const *r = readers; *r && !found && mime; r++)
        if ((*r)->mime && strncasecmp(mime, (*r)->mime, strlen((*r)->mime)) == 0) found = *r;
    for (const struct reader *const *r = readers; *r && !found; r++)
        if ((*r)->sniff && (*r)->sniff(data, n_bytes)) found = *r;
    return found;
}

static void title_from_text(const struct reader_input *in, struct doc *d)
{
    for (size_t i = 0; i < d->n_blocks && i < 8; i++)
        if (d->block[i].kind == DOC_HEADING) {
            const struct doc_block *b = &d->block[i];
            doc_set_title(d, d->text.data + b->begin, b->end - b->begin);
            break;
        }
    const char *slash = strrchr(in->name, '/');
    const char *base = slash && slash[1] ? slash + 1 : in->name;
    doc_set_title(d, base, strlen(base));
}

bool reader_run(const struct reader *r, const struct reader_input *in, struct doc *out,
                struct err *err)
{
    if (in->n_bytes > READER_MAX_FILE_BYTES)
        return err_set(err, ERR_LIMIT, "%s: %zu bytes; at most %zu are read", in->name, in->n_bytes,
                       READER_MAX_FILE_BYTES);
    if (!r->read(in, out, err)) return err_wrap(err, "%s", in->name);
    if (!doc_check(out, in->name, err)) return false;
    title_from_text(in, out);
    return doc_check(out, in->name, err);
}
