/* SPDX-License-Identifier: Apache-2.0
 *
 * bench_citations.c - what bench/citations asks of the library, line by line from stdin.
 *
 *     bench_citations DB   a claim a line: looked up in the index, then treated as an answer;
 *                          prints the paths that it gets references to, or "-"
 *     bench_citations -    CLAIM TAB PASSAGE a line: prints "1" if the passage supports the claim
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "retrieve/citer.h"
#include "retrieve/support.h"

static void ignore(void *user, const char *s, size_t n_bytes)
{
    (void)user, (void)s, (void)n_bytes;
}

static bool cite(struct sources *s, const char *claim, struct err *err)
{
    struct buf prompt;
    size_t n = 0;
    struct citer *c = citer_new(s, ignore, NULL);
    buf_init(&prompt, (size_t)1 << 26);
    bool ok = c && sources_find(s, claim, strlen(claim), NULL, err) &&
              sources_prompt(s, claim, strlen(claim), SOURCES_MAX_BYTES, &prompt, err) &&
              citer_feed(c, claim, strlen(claim), err) && citer_end(c, err);
    const struct citation *all = c ? citer_citations(c, &n) : NULL;
    for (size_t i = 0; ok && i < n; i++)
        printf("%s%s", i ? "\t" : "", sources_passage(s, all[i].source)->path);
    puts(n ? "" : "-");
    buf_release(&prompt);
    citer_free(c);
    return ok;
}

static void judge(char *line)
{
    char none[1] = "", *tab = strchr(line, '\t');
    if (tab) *tab = '\0';
    const struct passage p = {
        .heading = none, .title = none, .path = none, .body = tab ? tab + 1 : none};
    puts(support_of(line, strlen(line), &p).is_supported ? "1" : "0");
}

int main(int argc, char **argv)
{
    char *line = NULL;
    size_t cap = 0;
    struct err err = {0};
    struct sources *s = NULL;
    bool ok = argc == 2;
    if (ok && strcmp(argv[1], "-") != 0) {
        s = sources_open(argv[1], 4, &err);
        ok = s != NULL;
    }
    while (ok && getline(&line, &cap, stdin) >= 0) {
        line[strcspn(line, "\n")] = '\0';
        if (s)
            ok = cite(s, line, &err);
        else
            judge(line);
    }
    if (!ok)
        fprintf(stderr, "bench_citations: %s\n",
                argc == 2 ? err.text : "usage: bench_citations DB|-");
    free(line);
    sources_close(s);
    return ok ? 0 : 1;
}
