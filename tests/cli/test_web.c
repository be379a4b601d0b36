/* SPDX-License-Identifier: Apache-2.0
 *
 * test_web.c - which addresses are public, and what of a Content-Type is believed.
 */
#include "test.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <sys/un.h>

#include "cli/address.h"
#include "cli/web.h"

static const struct {
    const char *text;
    bool is_public;
} addresses[] = {
    /* clang-format off */
    {"8.8.8.8", true},          {"1.0.0.0", true},          {"93.184.215.14", true},
    {"100.63.255.255", true},   {"100.128.0.0", true},      {"172.15.255.255", true},
    {"172.32.0.0", true},       {"192.0.1.0", true},        {"223.255.255.255", true},
    {"168.63.129.15", true},    {"0.0.0.0", false},         {"0.1.2.3", false},
    {"10.0.0.1", false},        {"10.255.255.255", false},  {"100.64.0.0", false},
    {"100.100.100.200", false}, {"100.127.255.255", false}, {"127.0.0.1", false},
    {"127.255.255.255", false}, {"168.63.129.16", false},   {"169.254.169.254", false},
    {"172.16.0.0", false},      {"172.31.255.255", false},  {"192.0.0.192", false},
    {"192.0.2.1", false},       {"192.168.1.1", false},     {"198.18.0.1", false},
    {"198.19.255.255", false},  {"224.0.0.1", false},       {"239.255.255.255", false},
    {"240.0.0.1", false},       {"255.255.255.255", false},
    {"2606:4700::1111", true},  {"2a00:1450::1", true},     {"::ffff:8.8.8.8", true},
    {"64:ff9b::8.8.8.8", true}, {"::", false},              {"::1", false},
    {"::ffff:127.0.0.1", false}, {"::ffff:169.254.169.254", false}, {"::127.0.0.1", false},
    {"64:ff9b::10.0.0.1", false}, {"64:ff9b:1::1", false},  {"100::1", false},
    {"2001::1", false},         {"2001:db8::1", false},     {"2002:7f00:1::", false},
    {"3fff::1", false},         {"fc00::1", false},         {"fd00:ec2::254", false},
    {"fe80::1", false},         {"fec0::1", false},         {"ff02::1", false},
    {"4000::1", false},
    /* clang-format on */
};

static void test_addresses(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(addresses); i++) {
        struct sockaddr_in in = {.sin_family = AF_INET};
        struct sockaddr_in6 in6 = {.sin6_family = AF_INET6};
        const bool is_4 = inet_pton(AF_INET, addresses[i].text, &in.sin_addr) == 1;
        if (!is_4) assert_int_equal(inet_pton(AF_INET6, addresses[i].text, &in6.sin6_addr), 1);
        const struct sockaddr *a =
            is_4 ? (const struct sockaddr *)&in : (const struct sockaddr *)&in6;
        if (address_is_public(a) != addresses[i].is_public) fail_msg("%s", addresses[i].text);
        if (is_4) assert_string_equal(address_text(a).text, addresses[i].text);
    }
    const struct sockaddr_un un = {.sun_family = AF_UNIX};
    assert_false(address_is_public((const struct sockaddr *)&un));
}

static const struct {
    const char *header, *mime, *charset;
} types[] = {
    {"text/html", "text/html", ""},
    {"Text/HTML; Charset=UTF-8", "text/html", "utf-8"},
    {"text/plain;x=y;charset=\"iso-8859-1\" ; charset=utf-8", "text/plain", "iso-8859-1"},
    {" text/plain ;; charset = utf-8", "text/plain", ""},
    {"", "", ""},
    {";", "", ""},
    {";charset=", "", ""},
    {"text/html\r\nX: y", "", ""},
    {"text/plain; charset=\x1b[2J", "text/plain", ""},
    {"text/plain; charset=0123456789012345678901234567890123456789", "text/plain", ""},
    {"a/012345678901234567890123456789012345678901234567890123456789012345678901234567890", "", ""},
};

static void test_types(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(types); i++) {
        const struct web_type t = web_read_type(types[i].header);
        assert_string_equal(t.mime, types[i].mime);
        assert_string_equal(t.charset, types[i].charset);
    }
}

static const struct {
    const char *from, *to; /* NULL: refused */
} written[] = {
    {"http://example.org", "http://example.org/"},
    {"HTTPS://Example.org/a b#c", NULL},
    {"https://example.org/a?b=c#d", "https://example.org/a?b=c"},
    {"http://user@example.org/", NULL},
    {"http://user:word@example.org/", NULL},
    {"ftp://example.org/", NULL},
    {"file:///etc/passwd", NULL},
    {"http://", NULL},
    {"/etc/passwd", NULL},
    {"", NULL},
};

static void test_written(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(written); i++) {
        struct err err = {0};
        char *to = web_address(written[i].from, &err);
        if (!written[i].to) {
            assert_null(to);
            assert_int_equal(err.code, ERR_USAGE);
        } else {
            assert_ok(to, &err);
            assert_string_equal(to, written[i].to);
        }
        free(to);
    }
    assert_true(web_is_address("HTTP://x"));
    assert_false(web_is_address("notes/http://x"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_addresses),
        cmocka_unit_test(test_types),
        cmocka_unit_test(test_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
