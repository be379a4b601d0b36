/* SPDX-License-Identifier: Apache-2.0
 *
 * test_tool_calls.c - calls are found in every form, text stays text, and where the stream is cut
 * makes no difference; arguments that were Python are JSON.
 */
#include "test.h"

#include "base/buf.h"
#include "fault.h"
#include "text/tool_calls.h"

#define MARK CALL_MARK

static const char *const names[] = {"get_weather", "add", "brave_search", "code_interpreter", ""};
enum { N_NAMES = 5, N_WITHOUT_CODE = 3 };

/* What was heard: text as it is, a call as [NAME ARGUMENTS]. */
struct ear {
    struct buf heard;
    bool is_in_call;
};

static void hear(void *user, const struct call_event *ev)
{
    struct ear *e = user;
    switch (ev->kind) {
    case CALL_BEGIN:
        assert_false(e->is_in_call);
        assert_in_range(ev->i_tool, 0, N_NAMES - 1);
        buf_printf(&e->heard, "[%s ", names[ev->i_tool]);
        e->is_in_call = true;
        return;
    case CALL_END:
        assert_true(e->is_in_call);
        buf_puts(&e->heard, "]");
        e->is_in_call = false;
        return;
    case CALL_ARGUMENTS:
    case CALL_TEXT:
        assert_int_equal(e->is_in_call, ev->kind == CALL_ARGUMENTS);
        assert_true(ev->n_text > 0);
        buf_append(&e->heard, ev->text, ev->n_text);
    }
}

/* Feeds `n_piece` bytes at a time. */
static void run(const char *said, size_t n_said, int32_t n_names, size_t n_piece, struct ear *ear)
{
    struct err err = {0};
    *ear = (struct ear){0};
    buf_init(&ear->heard, 1 << 24);
    struct call_parser *p = call_parser_new(names, n_names, hear, ear, &err);
    assert_ok(p, &err);
    for (size_t i = 0; i < n_said; i += n_piece)
        call_parser_feed(p, said + i, n_said - i < n_piece ? n_said - i : n_piece);
    call_parser_end(p);
    assert_false(ear->is_in_call);
    assert_ok(call_parser_check(p, &err), &err);
    call_parser_free(p);
}

static const struct call_case {
    const char *said, *heard;
} cases[] = {
    /* clang-format off */
    /* text */
    {"", ""},
    {"Hello.\n", "Hello.\n"},
    {"  {\"a\": 1}", "  {\"a\": 1}"},
    {"{}", "{}"},
    {"{", "{"},
    {"[1, 2]", "[1, 2]"},
    {"[add]", "[add]"},
    {"[1](http://x)", "[1](http://x)"},
    {"a < b, <b>, <tool", "a < b, <b>, <tool"},
    {"<tool_call>nothing</tool_call>", "<tool_call>nothing</tool_call>"},
    {"</tool_call> is a tag", "</tool_call> is a tag"},
    {"{\"name\": \"unknown\", \"parameters\": {}}", "{\"name\": \"unknown\", \"parameters\": {}}"},
    {"{\"name\": \"\", \"parameters\": {}}", "{\"name\": \"\", \"parameters\": {}}"},
    {"{\"name\": \"add\", \"age\": 3}", "{\"name\": \"add\", \"age\": 3}"},
    {"{\"name\": {\"first\": \"add\"}}", "{\"name\": {\"first\": \"add\"}}"},
    {"{\"parameters\": {\"a\": 1}}", "{\"parameters\": {\"a\": 1}}"},
    {"{\"name\": \"add\"", "{\"name\": \"add\""},
    {"I would say {\"name\": \"add\", \"parameters\": {}}", "I would say {\"name\": \"add\", \"parameters\": {}}"},
    {"add(a=1)", "add(a=1)"},
    {"<function=unknown>{}</function>", "<function=unknown>{}</function>"},
    {"[unknown(a=1)]", "[unknown(a=1)]"},
    {"[add(1, 2)]", "[add(1, 2)]"},
    /* Llama 3.1 */
    {"{\"name\": \"add\", \"parameters\": {\"a\": 1, \"b\": \"}\\\"\"}}", "[add {\"a\": 1, \"b\": \"}\\\"\"}]"},
    {"\n\n{ \"type\" : \"function\" , \"name\" : \"add\" , \"parameters\" : { } }\n", "[add { }]"},
    {"{\"type\": \"function\", \"function\": \"add\", \"parameters\": {\"a\": [1, {}]}}", "[add {\"a\": [1, {}]}]"},
    {"{\"type\": \"function\", \"function\": {\"name\": \"add\", \"arguments\": {\"a\": 1}}}", "[add {\"a\": 1}]"},
    {"{\"parameters\": {\"a\": 1}, \"name\": \"add\"}", "[add {\"a\": 1}]"},
    {"{\"name\": \"add\"}", "[add {}]"},
    {"{\"name\": \"add\", \"parameters\": null}", "[add {}]"},
    {"{\"name\": \"add\", \"parameters\": {\"a\": 1}, \"id\": \"x\", \"more\": [1]}", "[add {\"a\": 1}]"},
    {"{\"name\": \"add\", \"arguments\": \"{\\\"a\\\": \\\"\\u00e9\\\"}\"}", "[add {\"a\": \"\xC3\xA9\"}]"},
    {"{\"arguments\": \"{}\", \"name\": \"add\"}", "[add {}]"},
    {"{\"name\": \"add\", \"parameters\": {\"a\": 1", "[add {\"a\": 1]"},
    {"{\"name\": \"add\", \"parameters\": {}}; {\"name\": \"get_weather\", \"parameters\": {\"c\": 2}}", "[add {}][get_weather {\"c\": 2}]"},
    {"{\"name\": \"add\", \"parameters\": {}}\n{\"name\": \"add\", \"parameters\": {}}", "[add {}][add {}]"},
    {"{\"name\": \"add\", \"parameters\": {}} Done.", "[add {}] Done."},
    {"[{\"name\": \"add\", \"arguments\": {}}, {\"name\": \"add\", \"arguments\": {\"a\": 1}}]", "[add {}][add {\"a\": 1}]"},
    /* behind the mark */
    {MARK "brave_search.call(query=\"price of gold\")", "[brave_search {\"query\": \"price of gold\"}]"},
    {MARK "{\"name\": \"add\", \"parameters\": {}}", "[add {}]"},
    {"Let me see. " MARK " {\"name\": \"add\", \"parameters\": {}}", "Let me see.[add {}]"},
    {MARK "add(a=1)", "[add {\"a\": 1}]"},
    {MARK "[add(a=1)]", "[add {\"a\": 1}]"},
    {MARK, ""},
    {MARK "print(\"a\\n\")\nx = 'y'", "[code_interpreter {\"code\": \"print(\\\"a\\\\n\\\")\\nx = 'y'\"}]"},
    {MARK "brave_search.call(1)", "[code_interpreter {\"code\": \"brave_search.call(1)\"}]"},
    {MARK "{1: 2}", "[code_interpreter {\"code\": \"{1: 2}\"}]"},
    {MARK "x" MARK "y", "[code_interpreter {\"code\": \"xy\"}]"},
    /* Python */
    {"[add(a=1, b=-2.5e3)]", "[add {\"a\": 1, \"b\": -2.5e3}]"},
    {"[add()]", "[add {}]"},
    {" [ add( a = 1 , ) , get_weather(city='Z\xC3\xBCrich', ok=True, no=None, off=False) ] ", "[add {\"a\": 1}][get_weather {\"city\": \"Z\xC3\xBCrich\", \"ok\": true, \"no\": null, \"off\": false}]"},
    {"[add(a=[1, (2, 'x'), {'k': [], \"l\": {}},], b='it\\'s \"q\" \\n \\x41\\u00e9 \\d')]", "[add {\"a\": [1, [2, \"x\"], {\"k\": [], \"l\": {}}], \"b\": \"it's \\\"q\\\" \\n \\u0041\\u00e9 \\\\d\"}]"},
    {"[add(a=.5, b=celsius, c=007)]", "[add {\"a\": \".5\", \"b\": \"celsius\", \"c\": \"007\"}]"},
    {"[add(a=1), add(2)] end", "[add {\"a\": 1}], add(2)] end"},
    {"[add(a=1", "[add {\"a\": ]"},
    {"[add(a=1]", "[add {\"a\": 1]]"},
    /* Hermes */
    {"<tool_call>\n{\"name\": \"add\", \"arguments\": {\"a\": 1}}\n</tool_call>", "[add {\"a\": 1}]"},
    {"I will.\n<tool_call>{\"name\": \"add\", \"arguments\": {}}</tool_call>\n<tool_call>\n{\"name\": \"add\", \"arguments\": {}}\n</tool_call>\n", "I will.[add {}][add {}]"},
    {"<<tool_call>{\"name\": \"add\"}</tool_call>", "<[add {}]"},
    {"<tool_<tool_call>{\"name\": \"add\"}", "<tool_[add {}]"},
    {"<tool_call>{\"name\": \"add\", \"arguments\": {}} and {\"name\": \"add\"}", "[add {}] and {\"name\": \"add\"}"},
    {"<tool_call>{\"name\": \"unknown\"}</tool_call> x", "<tool_call>{\"name\": \"unknown\"}</tool_call> x"},
    /* tags */
    {"<function=add>{\"a\": \"<\"}</function>", "[add {\"a\": \"<\"}]"},
    {"See <function=add> {}</function> there", "See[add {}] there"},
    {"<function=add>x", "<function=add>x"},
    /* clang-format on */
};

static void test_calls_are_found(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(cases); i++)
        for (size_t n_piece = 1; n_piece < 60; n_piece += n_piece < 4 ? 1 : 11) {
            struct ear ear;
            run(cases[i].said, strlen(cases[i].said), N_NAMES, n_piece, &ear);
            const char *heard = ear.heard.data ? ear.heard.data : "";
            if (strcmp(heard, cases[i].heard) != 0)
                fail_msg("%s\nby %zu is\n%s\nnot\n%s", cases[i].said, n_piece, heard,
                         cases[i].heard);
            buf_release(&ear.heard);
        }
}

/* Without code_interpreter, what is behind the mark and no call is text; the mark is never told. */
static void test_marked_text_without_code(void **state)
{
    struct ear ear;
    static const char said[] = "a" MARK "print(1)" MARK "unknown.call(q=\"x\")";
    (void)state;
    run(said, sizeof said - 1, N_WITHOUT_CODE, 1, &ear);
    assert_string_equal(ear.heard.data, "aprint(1)unknown.call(q=\"x\")");
    buf_release(&ear.heard);
}

/* Nothing is held for ever, and nothing is lost. */
static void test_what_is_held_is_bounded(void **state)
{
    static const char *const begins[] = {"{\"parameters\": [", "[add(", "<function=", "  ",
                                         "{\"id\": \""};
    enum { N = 200000 };
    char *said = malloc(N + 64);
    (void)state;
    assert_non_null(said);
    for (size_t i = 0; i < ARRAY_LEN(begins); i++) {
        struct ear ear;
        const size_t n = strlen(begins[i]);
        memcpy(said, begins[i], n);
        memset(said + n, ' ', N);
        run(said, n + N, N_NAMES, 100, &ear);
        assert_int_equal(ear.heard.n_bytes, n + N);
        assert_memory_equal(ear.heard.data, said, n + N);
        buf_release(&ear.heard);
    }
    free(said);
}

static void test_each_allocation_fails_in_turn(void **state)
{
    static const char said[] =
        "x <tool_call>{\"arguments\": \"{}\", \"name\": \"add\"}</tool_call>";
    (void)state;
    for (int64_t n = 1;; n++) {
        struct err err = {0};
        struct ear ear = {0};
        buf_init(&ear.heard, 1 << 20);
        buf_grow(&ear.heard, 1000);
        buf_clear(&ear.heard);
        fault_arm(FAULT_MEMORY, n);
        struct call_parser *p = call_parser_new(names, N_NAMES, hear, &ear, &err);
        if (p) {
            call_parser_feed(p, said, sizeof said - 1);
            call_parser_end(p);
        }
        const bool was_hit = fault_disarm();
        assert_false(ear.is_in_call);
        if (p && !call_parser_check(p, &err)) assert_int_equal(err.code, ERR_MEMORY);
        if (!was_hit) assert_string_equal(ear.heard.data, "x[add {}]");
        call_parser_free(p);
        buf_release(&ear.heard);
        if (!was_hit) break;
        assert_in_range(n, 1, 50);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_calls_are_found),
        cmocka_unit_test(test_marked_text_without_code),
        cmocka_unit_test(test_what_is_held_is_bounded),
        cmocka_unit_test(test_each_allocation_fails_in_turn),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
