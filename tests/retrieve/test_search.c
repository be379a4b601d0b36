/* SPDX-License-Identifier: Apache-2.0
 *
 * test_search.c - what is found, in which order, and that a question is never a query language.
 */
#include "index_fixture.h"

static const char *const texts[][2] = {
    {"bridge.md",
     "# The bridge\n\nThe old bridge over the river was built in 1874 by the Northern Railway."},
    {"river.txt",
     "The river is 40 km long. Fishing in the river is allowed from May to August, and "
     "the fish that are caught there are mostly trout and some perch."},
    {"copy1.txt",
     "Backups are made each night at two by the script in the tools folder, and kept for "
     "thirty days on the second disk of the server in the cellar."},
    {"copy2.txt",
     "Backups are made each night at two by the script in the tools folder, and kept for "
     "thirty days on the second disk of the server in the cellar!"},
    {"quote.txt",
     "She wrote AND he wrote NEAR the sea; NOT here OR there. Caf\xC3\xA9s were open."},
};

static const struct search_case {
    const char *question, *first; /* the path's end; NULL: nothing is found */
    int n;                        /* -1: any */
} search_cases[] = {
    /* clang-format off */
    {"who built the bridge",            "bridge.md", 1},
    {"Bridges",                         "bridge.md", 1},
    {"fishing rules",                   "river.txt", 1},
    {"when are backups made",           "copy1.txt", -1},
    {"night script cellar",             "copy1.txt", 1}, /* the copy is left out */
    {"cafe",                            "quote.txt", 1},
    {"AND OR NOT NEAR(",                "quote.txt", 1},
    {"sea* \"open",                     "quote.txt", 1},
    {"heading:x OR body:bridge ^bridge -river {a b}: ) (", "bridge.md", -1},
    {"zebra",                           NULL, 0},
    {"",                                NULL, 0},
    {"?!",                              NULL, 0},
    {"\xFF\xFE\"",                      NULL, 0},
    /* clang-format on */
};

static void test_questions(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(texts); i++) write_file(texts[i][0], texts[i][1]);
    struct store *s = open_scratch(STORE_WRITE);
    index_scratch(s);
    for (size_t i = 0; i < ARRAY_LEN(search_cases); i++) {
        const struct search_case *c = &search_cases[i];
        struct err err = {0};
        struct passages found;
        assert_ok(search_run(s, c->question, strlen(c->question), 10, &found, &err), &err);
        const char *first = found.n ? strrchr(found.passage[0].path, '/') + 1 : "nothing";
        if (strcmp(first, c->first ? c->first : "nothing") != 0 ||
            (c->n >= 0 && found.n != (size_t)c->n))
            fail_msg("%s: %zu, first %s", c->question, found.n, first);
        for (size_t k = 1; k < found.n; k++)
            assert_true(found.passage[k].score <= found.passage[k - 1].score);
        passages_release(&found);
    }
    store_close(s);
}

static void test_passage_by_id(void **state)
{
    (void)state;
    struct err err = {0};
    struct passages found, same;
    write_file("a.md", "# Head\n\nSome text here.");
    struct store *s = open_scratch(STORE_WRITE);
    index_scratch(s);
    assert_ok(search_run(s, "text", 4, 5, &found, &err), &err);
    assert_int_equal(found.n, 1);
    assert_int_equal(search_passage(s, found.passage[0].id, &same, &err), 1);
    assert_string_equal(same.passage[0].body, "Head\n\nSome text here.");
    assert_string_equal(same.passage[0].title, "Head");
    assert_int_equal(same.passage[0].end, strlen(same.passage[0].body));
    passages_release(&same);
    assert_int_equal(search_passage(s, 12345, &same, &err), 0);
    passages_release(&found);
    store_close(s);
}

static void test_many_words(void **state)
{
    (void)state;
    struct err err = {0};
    struct passages found;
    struct buf b;
    buf_init(&b, 1 << 20);
    for (int i = 0; i < 20000; i++) buf_printf(&b, "word%d ", i);
    write_file("a.txt", "word3 and more");
    struct store *s = open_scratch(STORE_WRITE);
    index_scratch(s);
    assert_ok(search_run(s, b.data, b.n_bytes, 5, &found, &err), &err);
    assert_int_equal(found.n, 1);
    passages_release(&found);
    buf_release(&b);
    store_close(s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(test_questions, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_passage_by_id, make_scratch, remove_scratch),
        cmocka_unit_test_setup_teardown(test_many_words, make_scratch, remove_scratch),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
