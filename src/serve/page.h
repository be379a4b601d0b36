/* page.h - the chat page, compiled in. Private to the room; the loop's thread only. */
#ifndef CRIA_SERVE_PAGE_H
#define CRIA_SERVE_PAGE_H

#include <stddef.h>

struct exchange;

struct page_asset {
    const char *path; /* behind /page/; "": the page itself, at /; "openapi.json" */
    const char *type;
    const char *etag; /* with its quotes */
    const unsigned char *bytes;
    size_t n_bytes;
};

/* All of them; the last has no path. Made at build time by page/embed.py. */
extern const struct page_asset page_assets[];

/* Answers GET of the asset `path` and ends the exchange: 200, 304 if the client has it, 404. */
void page_reply(struct exchange *ex, const char *path);

#endif
