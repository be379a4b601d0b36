/* SPDX-License-Identifier: Apache-2.0
 *
 * jinja_tool.c - runs templates for a script: each line of stdin is a case of jinja_case.h with its
 * "template"; each line of stdout is {"want": TEXT, "marks": "mm.."} or {"error": TEXT}.
 * tests/oracle/jinja.py --check drives it over a folder of templates.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/json_write.h"
#include "jinja_case.h"

#define MAX_LINE_BYTES ((size_t)64 << 20)

static bool run_line(const char *line, size_t n)
{
    struct err err = {0};
    struct buf out, marks, b;
    buf_init(&out, MAX_LINE_BYTES);
    buf_init(&marks, MAX_LINE_BYTES);
    buf_init(&b, 8 * MAX_LINE_BYTES);
    struct json_writer w = json_writer(&b);
    const char *tmpl = NULL;
    size_t n_tmpl = 0;
    struct json_doc *d = json_parse(line, n, MAX_LINE_BYTES, "line", &err);
    json_object(&w);
    if (d && json_str(json_get(json_root(d), "template"), &tmpl, &n_tmpl) &&
        jinja_case_run(tmpl, n_tmpl, json_root(d), &jinja_default_limits, &out, &marks, &err)) {
        json_key(&w, "want");
        json_string(&w, out.data ? out.data : "", out.n_bytes);
        json_key(&w, "marks");
        json_string(&w, marks.data ? marks.data : "", marks.n_bytes);
    } else {
        json_key_cstring(&w, "error", err.text);
    }
    json_end(&w);
    puts(b.data ? b.data : "");
    json_free(d);
    buf_release(&out);
    buf_release(&marks);
    buf_release(&b);
    return d != NULL;
}

int main(void)
{
    struct err err = {0};
    struct buf in;
    setenv("TZ", "UTC0", 1);
    buf_init(&in, MAX_LINE_BYTES);
    if (!file_read_fd(0, "standard input", MAX_LINE_BYTES, &in, &err)) {
        fprintf(stderr, "%s\n", err.text);
        return 1;
    }
    bool ok = true;
    for (size_t i = 0; i < in.n_bytes;) {
        const char *s = in.data + i, *end = memchr(s, '\n', in.n_bytes - i);
        const size_t n = end ? (size_t)(end - s) : in.n_bytes - i;
        ok &= n == 0 || run_line(s, n);
        i += n + 1;
    }
    buf_release(&in);
    return !ok;
}
