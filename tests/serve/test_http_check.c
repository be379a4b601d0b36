/* SPDX-License-Identifier: Apache-2.0
 *
 * test_http_check.c - headers that a proxy might read another way are refused, and so are hosts and
 * pages that are not ours.
 */
#include "test.h"

#include <sys/queue.h>

#include <event2/http.h>
#include <event2/keyvalq_struct.h>

#include "serve/http_check.h"

enum { MAX_PAIRS = 4 };

struct headers {
    struct evkeyvalq list;
    struct evkeyval item[110];
};

/* Written into the list by hand: libevent's own adding refuses some of these. */
static void add(struct headers *h, int i, const char *key, const char *value)
{
    h->item[i].key = (char *)(uintptr_t)key;
    h->item[i].value = (char *)(uintptr_t)value;
    TAILQ_INSERT_TAIL(&h->list, &h->item[i], next);
}

static const struct check_case {
    const char *what;
    const char *pair[MAX_PAIRS][2];
    bool is_ok;
} check_cases[] = {
    /* clang-format off */
    {"a host",                 {{"Host", "a"}}, true},
    {"a length",               {{"Host", "a"}, {"Content-Length", "12"}}, true},
    {"chunks",                 {{"host", "a"}, {"transfer-encoding", "Chunked"}}, true},
    {"no host",                {{"X", "a"}}, false},
    {"two hosts",              {{"Host", "a"}, {"HOST", "a"}}, false},
    {"two lengths",            {{"Host", "a"}, {"Content-Length", "1"}, {"content-length", "1"}}, false},
    {"length and chunks",      {{"Host", "a"}, {"Content-Length", "1"}, {"Transfer-Encoding", "chunked"}}, false},
    {"a list of lengths",      {{"Host", "a"}, {"Content-Length", "1, 1"}}, false},
    {"a signed length",        {{"Host", "a"}, {"Content-Length", "+1"}}, false},
    {"a hexadecimal length",   {{"Host", "a"}, {"Content-Length", "0x1"}}, false},
    {"an empty length",        {{"Host", "a"}, {"Content-Length", ""}}, false},
    {"a length of 20 digits",  {{"Host", "a"}, {"Content-Length", "11111111111111111111"}}, false},
    {"xchunked",               {{"Host", "a"}, {"Transfer-Encoding", "xchunked"}}, false},
    {"gzip, chunked",          {{"Host", "a"}, {"Transfer-Encoding", "gzip, chunked"}}, false},
    {"a blank before a colon", {{"Host", "a"}, {"Content-Length ", "1"}}, false},
    {"an empty name",          {{"Host", "a"}, {"", "1"}}, false},
    /* clang-format on */
};

static void test_smuggling_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(check_cases); i++) {
        static struct headers h;
        const struct header_scan s = {0};
        struct refusal r = {0};
        TAILQ_INIT(&h.list);
        for (int k = 0; k < MAX_PAIRS && check_cases[i].pair[k][0]; k++)
            add(&h, k, check_cases[i].pair[k][0], check_cases[i].pair[k][1]);
        if (http_check(&h.list, &s, &r) != check_cases[i].is_ok)
            fail_msg("%s: %s", check_cases[i].what, r.text);
    }
}

static void test_many_headers_are_refused(void **state)
{
    (void)state;
    for (int n = 99; n < 102; n++) {
        static struct headers h;
        const struct header_scan s = {0};
        struct refusal r = {0};
        TAILQ_INIT(&h.list);
        add(&h, 0, "Host", "a");
        for (int i = 1; i < n; i++) add(&h, i, "X", "1");
        assert_int_equal(http_check(&h.list, &s, &r), n <= 100);
    }
}

static const struct scan_case {
    const char *bytes;
    size_t n;
    bool has_nul, has_fold, is_over;
} scan_cases[] = {
/* clang-format off */
#define BYTES(s) s, sizeof s - 1
    {BYTES("GET / HTTP/1.1\r\nHost: a\r\n\r\n"),            false, false, true},
    {BYTES("GET / HTTP/1.1\nHost: a\n\n"),                  false, false, true},
    {BYTES("\r\nGET / HTTP/1.1\r\nHost: a\r\n\r\n"),        false, false, true},
    {BYTES("GET / HTTP/1.1\r\nHost: a\0b\r\n\r\n"),         true,  false, true},
    {BYTES("GET / HTTP/1.1\r\nHost: a\r\n b\r\n\r\n"),      false, true,  true},
    {BYTES("GET / HTTP/1.1\r\nHost: a\r\n\tb\r\n\r\n"),     false, true,  true},
    {BYTES("GET / HTTP/1.1\r\nHost: a\r\n"),                false, false, false},
    {BYTES("POST / HTTP/1.1\r\nHost: a\r\n\r\n\0 \r\n \0"), false, false, true}, /* a body */
    /* clang-format on */
};

static void test_raw_bytes_are_seen_in_any_pieces(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(scan_cases); i++)
        for (size_t piece = 1; piece <= scan_cases[i].n; piece++) {
            struct header_scan s = {0};
            for (size_t at = 0; at < scan_cases[i].n; at += piece)
                header_scan(&s, scan_cases[i].bytes + at,
                            scan_cases[i].n - at < piece ? scan_cases[i].n - at : piece);
            if (s.has_nul != scan_cases[i].has_nul || s.has_fold != scan_cases[i].has_fold ||
                s.is_over != scan_cases[i].is_over)
                fail_msg("case %zu in pieces of %zu", i, piece);
        }
}

static const struct host_case {
    bool is_public;
    const char *host, *origin;
    bool is_ok, is_allowed;
} host_cases[] = {
    /* clang-format off */
    {false, "127.0.0.1:8080",   NULL,                      true,  false},
    {false, "LOCALHOST",        NULL,                      true,  false},
    {false, "[::1]:80",         NULL,                      true,  false},
    {false, "box.example:1",    NULL,                      true,  false},
    {false, "evil.example",     NULL,                      false, false},
    {false, "",                 NULL,                      false, false},
    {false, "[::1",             NULL,                      false, false},
    {true,  "evil.example",     NULL,                      true,  false},
    {false, "127.0.0.1:8080",   "http://127.0.0.1:8080",   true,  false},
    {false, "127.0.0.1:8080",   "https://127.0.0.1:8080",  false, false},
    {false, "127.0.0.1:8080",   "http://127.0.0.1:8081",   false, false},
    {false, "127.0.0.1:8080",   "null",                    false, false},
    {false, "127.0.0.1:8080",   "https://page.example",    true,  true},
    {false, "127.0.0.1:8080",   "https://page.example.x",  false, false},
    /* clang-format on */
};

static void test_hosts_and_pages(void **state)
{
    static const char *const hosts[] = {"box.example"}, *const pages[] = {"https://page.example"};
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(host_cases); i++) {
        const struct host_case *c = &host_cases[i];
        const struct host_rule rule = {.own = "127.0.0.1",
                                       .is_public = c->is_public,
                                       .hosts = hosts,
                                       .n_hosts = 1,
                                       .origins = pages,
                                       .n_origins = 1};
        static struct headers h;
        const char *origin = NULL;
        struct refusal r = {0};
        TAILQ_INIT(&h.list);
        add(&h, 0, "Host", c->host);
        if (c->origin) add(&h, 1, "Origin", c->origin);
        if (host_check(&rule, &h.list, &origin, &r) != c->is_ok ||
            (origin != NULL) != c->is_allowed)
            fail_msg("%s from %s: %s", c->host, c->origin ? c->origin : "no page", r.text);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_smuggling_is_refused),
        cmocka_unit_test(test_many_headers_are_refused),
        cmocka_unit_test(test_raw_bytes_are_seen_in_any_pieces),
        cmocka_unit_test(test_hosts_and_pages),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
