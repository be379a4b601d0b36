/* SPDX-License-Identifier: Apache-2.0
 *
 * test_log.c - the sink hears what is at its level, one clean line each.
 */
#include "test.h"

#include "base/log.h"

struct heard {
    int n;
    enum log_level level;
    char line[2048];
};

static void listen_to(void *user, enum log_level level, const char *line)
{
    struct heard *h = user;
    h->n++;
    h->level = level;
    snprintf(h->line, sizeof h->line, "%s", line);
}

static void test_without_a_sink_nothing_happens(void **state)
{
    (void)state;
    log_set_sink(NULL, NULL, LOG_DEBUG);
    log_warn("nobody hears %d", 1);
}

static void test_levels_below_the_least_are_dropped(void **state)
{
    (void)state;
    struct heard h = {0};
    log_set_sink(listen_to, &h, LOG_INFO);
    log_debug("a");
    assert_int_equal(h.n, 0);
    log_info("b %d", 2);
    assert_int_equal(h.n, 1);
    assert_string_equal(h.line, "b 2");
    log_warn("c");
    assert_int_equal(h.level, LOG_WARN);
    log_set_sink(listen_to, &h, LOG_DEBUG);
    log_debug("d");
    assert_int_equal(h.n, 3);
    log_set_sink(NULL, NULL, LOG_INFO);
}

static void test_a_line_is_clean_and_bounded(void **state)
{
    (void)state;
    struct heard h = {0};
    log_set_sink(listen_to, &h, LOG_INFO);
    log_info("x\n\x1b[0m");
    assert_string_equal(h.line, "x  [0m");
    log_info("%5000d", 1);
    assert_int_equal(strlen(h.line), 1023);
    log_set_sink(NULL, NULL, LOG_INFO);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_without_a_sink_nothing_happens),
        cmocka_unit_test(test_levels_below_the_least_are_dropped),
        cmocka_unit_test(test_a_line_is_clean_and_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
