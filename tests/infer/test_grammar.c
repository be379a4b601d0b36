/* SPDX-License-Identifier: Apache-2.0
 *
 * test_grammar.c - grammars read texts as they should: byte by byte, against tables and against
 * what jsonschema and Python's re say (tests/oracle/constraint.py); what cannot be guaranteed is
 * refused by name; what is hostile is refused within time; each allocation fails in turn.
 */
#include "test.h"

#include "base/file.h"
#include "base/json.h"
#include "base/os.h"
#include "fault.h"
#include "infer/grammar.h"
#include "infer/stack_sets.h"

enum kind { SCHEMA, REGEX, GBNF, WIDE, COMPACT };

static struct grammar *compile(enum kind kind, const char *text, size_t n, struct err *err)
{
    switch (kind) {
    case REGEX:
        return grammar_from_regex(text, n, "it", err);
    case GBNF:
        return grammar_from_gbnf(text, n, "it", err);
    case WIDE:
        return grammar_from_schema(text, n, SPACE_WIDE, "it", err);
    case COMPACT:
        return grammar_from_schema(text, n, SPACE_COMPACT, "it", err);
    default:
        return grammar_from_schema(text, n, SPACE_FREE, "it", err);
    }
}

static bool fits(const struct grammar *g, const char *text, size_t n)
{
    struct err err = {0};
    struct stack_sets *s = stack_sets_new(g, &err);
    assert_ok(s, &err);
    stack_sets_set_budget(s, 100000000);
    int32_t set = stack_sets_start(s, 0, &err);
    for (size_t i = 0; i < n && set > SET_DEAD; i++)
        set = stack_sets_step(s, set, (uint8_t)text[i], &err);
    assert_true(set != SET_FAIL);
    const bool is_whole = set > SET_DEAD && stack_sets_is_whole(s, set);
    stack_sets_free(s);
    return is_whole;
}

/* ---- tables ---- */

static const struct text_case {
    enum kind kind;
    const char *source, *text;
    bool fits;
} text_cases[] = {
    /* clang-format off */
    {GBNF, "root ::= \"a\"", "a", true},
    {GBNF, "root ::= \"a\"", "", false},
    {GBNF, "root ::= \"a\"", "ab", false},
    {GBNF, "root ::= \"a\" | \"b\" \"c\"", "bc", true},
    {GBNF, "root ::= \"a\" |\n  \"b\"\n", "b", true},
    {GBNF, "root ::= \"a\"\n  | \"b\"\nx ::= \"c\"", "b", true},
    {GBNF, "root ::= \"a\"\n  \"b\"\nx ::= \"c\"", "ab", true},
    {GBNF, "# c\nroot ::= x-y y_2 # d\nx-y ::= [a-c]+\ny_2 ::= \"\\n\" | \"\"\n", "abc\n", true},
    {GBNF, "root ::= (\"a\" | \"b\")* \"c\"?", "ababc", true},
    {GBNF, "root ::= (\"a\" | \"b\")* \"c\"?", "", true},
    {GBNF, "root ::= \"a\"{2}", "aa", true},
    {GBNF, "root ::= \"a\"{2}", "aaa", false},
    {GBNF, "root ::= \"a\"{2,3}", "aaa", true},
    {GBNF, "root ::= \"a\"{2,}", "aaaaaaaa", true},
    {GBNF, "root ::= \"a\"{,2}", "aaa", false},
    {GBNF, "root ::= \"a\"{0}", "", true},
    {GBNF, "root ::= [^a-z]", "A", true},
    {GBNF, "root ::= [^a-z]", "q", false},
    {GBNF, "root ::= [^a-z]", "\xC3\xA9", true},
    {GBNF, "root ::= [^a-z]", "\xC3", false},
    {GBNF, "root ::= .", "\xF0\x9F\x98\x80", true},
    {GBNF, "root ::= .", "\xED\xA0\x80", false}, /* a surrogate */
    {GBNF, "root ::= .", "\xC0\x80", false},     /* overlong */
    {GBNF, "root ::= .", "\xF4\x90\x80\x80", false},
    {GBNF, "root ::= [\\]\\-x]", "]", true},
    {GBNF, "root ::= [a-]", "-", true},
    {GBNF, "root ::= \"\\x41\\u00e9\\U0001F600\\\"\"", "A\xC3\xA9\xF0\x9F\x98\x80\"", true},
    {GBNF, "root ::= \"(\" root \")\" | \"\"", "((()))", true},
    {GBNF, "root ::= \"(\" root \")\" | \"\"", "((())", false},
    {GBNF, "root ::= s\ns ::= \"a\" s \"b\" s | \"\"", "aabbab", true},
    {GBNF, "root ::= \"a\" root \"b\" | \"a\" root \"c\" | \"x\"", "aaxcb", true},
    {GBNF, "root ::= e\ne ::= t (\"+\" t)*\nt ::= [0-9]+ | \"(\" e \")\"", "1+(2+34)", true},
    {GBNF, "root ::= e\ne ::= t (\"+\" t)*\nt ::= [0-9]+ | \"(\" e \")\"", "1+(2+34", false},
    {GBNF, "root ::= ws \"a\" ws\nws ::= [ \\t]*", " a\t", true},
    {GBNF, "root ::= (x)*\nx ::= \"\"", "", true},
    {GBNF, "root ::= x\nx ::= y | \"q\"\ny ::= \"p\" y", "q", true}, /* y never ends: dropped */
    {GBNF, "root ::= x\nx ::= y | \"q\"\ny ::= \"p\" y", "p", false},
    {SCHEMA, "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}", "{\n  \"a\": 1\n}", true},
    {SCHEMA, "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}", "{\"a\" : 1}", false},
    {COMPACT, "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}", "{\"a\":1}", true},
    {COMPACT, "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"integer\"}}}", "{\"a\": 1}", false},
    {WIDE, "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}", "[1, 2]", true},
    {WIDE, "{\"type\":\"array\",\"items\":{\"type\":\"integer\"}}", "[1,2]", false},
    {SCHEMA, "{\"type\":\"string\"}", "\"\\ud83d\\ude00\\u00e9\\/\"", true},
    {SCHEMA, "{\"type\":\"string\"}", "\"\\ud83d\"", false}, /* half a pair */
    {SCHEMA, "{\"type\":\"string\"}", "\"\xFF\"", false},
    {SCHEMA, "{\"type\":\"string\"}", "\"\n\"", false},
    {SCHEMA, "{\"type\":\"string\",\"maxLength\":1}", "\"\\ud83d\\ude00\"", true},
    {SCHEMA, "{\"type\":\"string\",\"nullable\":true}", "null", true},
    {SCHEMA, "{\"type\":\"integer\"}", "01", false},
    {SCHEMA, "{\"type\":\"integer\"}", "-0", false},
    {SCHEMA, "{\"type\":\"number\"}", "-0.5e-10", true},
    {SCHEMA, "{\"type\":\"number\"}", "1.", false},
    {SCHEMA, "{\"additionalProperties\":{\"type\":\"integer\"},\"properties\":{\"ab\":true}}", "{\"a\\u0062\":1}", false}, /* ab again, in disguise */
    /* clang-format on */
};

static void test_texts_fit_or_not(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(text_cases); i++) {
        const struct text_case *c = &text_cases[i];
        struct err err = {0};
        struct grammar *g = compile(c->kind, c->source, strlen(c->source), &err);
        if (!g) fail_msg("%s: %s", c->source, err.text);
        if (fits(g, c->text, strlen(c->text)) != c->fits)
            fail_msg("%s: \"%s\" should %sfit", c->source, c->text, c->fits ? "" : "not ");
        grammar_free(g);
    }
}

static const struct refused_case {
    enum kind kind;
    const char *source, *says;
    enum err_code code;
} refused_cases[] = {
    /* clang-format off */
    {GBNF, "", "no rule 'root'", ERR_FORMAT},
    {GBNF, "x ::= \"a\"", "no rule 'root'", ERR_FORMAT},
    {GBNF, "root ::= x", "line 1: there is no rule 'x'", ERR_FORMAT},
    {GBNF, "root ::= \"a\nroot", "line 1", ERR_FORMAT},
    {GBNF, "root ::= \"a\"\nroot ::= \"b\"", "line 2: the rule 'root' is here a second time", ERR_FORMAT},
    {GBNF, "root ::= [a", "] is missing", ERR_FORMAT},
    {GBNF, "root ::= [z-a]", "the wrong way", ERR_FORMAT},
    {GBNF, "root ::= (\"a\"", "a group ends with )", ERR_FORMAT},
    {GBNF, "root ::= \"a\")", "no group to close", ERR_FORMAT},
    {GBNF, "root ::= \"\\q\"", "behind \\ stands", ERR_FORMAT},
    {GBNF, "root ::= \"\\ud800\"", "U+D800 is no character", ERR_FORMAT},
    {GBNF, "root ::= \"\xFF\"", "not UTF-8", ERR_FORMAT},
    {GBNF, "root ::= *", "here stands a name", ERR_FORMAT},
    {GBNF, "root ::= \"a\"{3,2}", "the wrong way", ERR_FORMAT},
    {GBNF, "root ::= \"a\"{x}", "a repetition is", ERR_FORMAT},
    {GBNF, "root ::= \"a\"{0,1000000}", "repetition of 1000000", ERR_LIMIT},
    {GBNF, "root ::= \"a\"{99999999999999999999}", "at most 100000", ERR_LIMIT},
    {GBNF, "root ::= ((\"ab\"{1000}){1000}){1000}", "states", ERR_LIMIT},
    {GBNF, "root ::= root \"a\" | \"b\"", "'root' calls itself", ERR_FORMAT},
    {GBNF, "root ::= a\na ::= b\nb ::= c \"x\"\nc ::= a | \"q\"", "calls itself", ERR_FORMAT},
    {GBNF, "root ::= n root \"x\" | \"y\"\nn ::= \"\" | \"z\"", "calls itself", ERR_FORMAT}, /* hidden */
    {GBNF, "root ::= \"a\" root", "no text fits", ERR_FORMAT},
    {GBNF, "root = \"a\"", "a rule begins with NAME ::=", ERR_FORMAT},
    {REGEX, "a(?=b)", "lookaround", ERR_UNSUPPORTED},
    {REGEX, "(a)\\1", "back references", ERR_UNSUPPORTED},
    {REGEX, "\\bfoo", "word borders", ERR_UNSUPPORTED},
    {REGEX, "(?i)a", "this kind of group", ERR_UNSUPPORTED},
    {REGEX, "a++", "possessive", ERR_UNSUPPORTED},
    {REGEX, "a^b", "anchor", ERR_UNSUPPORTED},
    {REGEX, "(a", ") is missing", ERR_FORMAT},
    {REGEX, "a)", "no group to close", ERR_FORMAT},
    {REGEX, "[a", "] is missing", ERR_FORMAT},
    {REGEX, "*a", "to be repeated", ERR_FORMAT},
    {REGEX, "a**", "two quantifiers", ERR_FORMAT},
    {REGEX, "a{5,2}", "the wrong way", ERR_FORMAT},
    {REGEX, "\\", "nothing stands behind", ERR_FORMAT},
    {REGEX, "\\p{Greek}", "Unicode properties", ERR_UNSUPPORTED},
    {REGEX, "[^\\s\\S]", "no text fits", ERR_FORMAT},
    {REGEX, "(a|b)*a(a|b){20}", "states", ERR_LIMIT},
    {REGEX, "(((((a{100}){100}){100}){100}){100})", "states", ERR_LIMIT},
    {REGEX, ".{0,100000}x.{0,100000}", "", ERR_LIMIT},
    {SCHEMA, "{", "it", ERR_FORMAT},
    {SCHEMA, "[]", "a schema is an object", ERR_FORMAT},
    {SCHEMA, "false", "no text fits", ERR_FORMAT},
    {SCHEMA, "{\"type\":\"strin\"}", "type: 'strin' is none", ERR_FORMAT},
    {SCHEMA, "{\"propertes\":{}}", "did you mean 'properties'", ERR_UNSUPPORTED},
    {SCHEMA, "{\"not\":{}}", "not: ", ERR_UNSUPPORTED},
    {SCHEMA, "{\"if\":{}}", "if: ", ERR_UNSUPPORTED},
    {SCHEMA, "{\"type\":\"object\",\"patternProperties\":{}}", "patternProperties", ERR_UNSUPPORTED},
    {SCHEMA, "{\"type\":\"array\",\"uniqueItems\":true}", "uniqueItems", ERR_UNSUPPORTED},
    {SCHEMA, "{\"type\":\"array\",\"contains\":{}}", "contains", ERR_UNSUPPORTED},
    {SCHEMA, "{\"type\":\"string\",\"format\":\"dat\"}", "did you mean 'date'", ERR_UNSUPPORTED},
    {SCHEMA, "{\"type\":\"string\",\"pattern\":\"a(?!b)\"}", "lookaround", ERR_UNSUPPORTED},
    {SCHEMA, "{\"type\":\"string\",\"pattern\":\"a\",\"minLength\":2}", "pattern: together", ERR_UNSUPPORTED},
    {SCHEMA, "{\"type\":\"string\",\"minLength\":-1}", "minLength: give a whole number", ERR_FORMAT},
    {SCHEMA, "{\"type\":\"string\",\"minLength\":3,\"maxLength\":2}", "no text fits", ERR_FORMAT},
    {SCHEMA, "{\"type\":\"integer\",\"minimum\":5,\"maximum\":4}", "no text fits", ERR_FORMAT},
    {SCHEMA, "{\"type\":\"number\",\"multipleOf\":0.1}", "multipleOf", ERR_UNSUPPORTED},
    {SCHEMA, "{\"type\":\"string\",\"maxLength\":1000000}", "repetition of 1000000", ERR_LIMIT},
    {SCHEMA, "{\"type\":\"object\",\"minProperties\":3}", "minProperties", ERR_UNSUPPORTED},
    {SCHEMA, "{\"enum\":[\"a\"],\"minLength\":1}", "enum, const: beside other limits", ERR_UNSUPPORTED},
    {SCHEMA, "{\"enum\":[]}", "no text fits", ERR_FORMAT},
    {SCHEMA, "{\"oneOf\":[{\"type\":\"integer\"},{\"type\":\"number\"}]}", "oneOf: ", ERR_UNSUPPORTED},
    {SCHEMA, "{\"oneOf\":[{\"minLength\":2},{\"minimum\":2}]}", "oneOf: ", ERR_UNSUPPORTED},
    {SCHEMA, "{\"$ref\":\"#\"}", "leads back", ERR_FORMAT},
    {SCHEMA, "{\"anyOf\":[{\"$ref\":\"#\"},{\"type\":\"null\"}]}", "leads back", ERR_FORMAT},
    {SCHEMA, "{\"allOf\":[{\"$ref\":\"#/allOf/0\"}]}", "leads back", ERR_FORMAT},
    {SCHEMA, "{\"$ref\":\"http://example.org/x\"}", "not in this document", ERR_UNSUPPORTED},
    {SCHEMA, "{\"$ref\":\"#/$defs/x\"}", "there is no '#/$defs/x'", ERR_FORMAT},
    {SCHEMA, "{\"type\":\"object\",\"properties\":{\"a\":{\"$ref\":\"#\"}},\"required\":[\"a\"]}", "no text fits", ERR_FORMAT},
    /* clang-format on */
};

static void test_refusals_say_why(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_LEN(refused_cases); i++) {
        const struct refused_case *c = &refused_cases[i];
        struct err err = {0};
        const int64_t begin = clock_ns();
        struct grammar *g = compile(c->kind, c->source, strlen(c->source), &err);
        if (g) fail_msg("%s: this should be refused", c->source);
        if (err.code != c->code || !strstr(err.text, c->says) || strncmp(err.text, "it", 2) != 0)
            fail_msg("%s: code %d, \"%s\"; want %d, \"%s\"", c->source, (int)err.code, err.text,
                     (int)c->code, c->says);
        const double s = (double)(clock_ns() - begin) * 1e-9;
        if (s > 20) fail_msg("%s: refused after %.1f s", c->source, s); /* a loaded machine */
    }
}

/* ---- against other programs ---- */

static void check_row(struct json row, int line)
{
    const char *kind = NULL, *text = NULL, *source = NULL;
    size_t n_text = 0, n_source = 0, n = 0;
    bool want = false, only = false;
    struct err err = {0};
    if (!json_str(json_get(row, "kind"), &kind, &n)) return; /* the versions */
    assert_true(json_str(json_get(row, "text"), &text, &n_text));
    json_bool(json_get(row, "fits"), &want);
    json_bool(json_get(row, "only"), &only);
    assert_true(json_str(json_get(row, "source"), &source, &n_source));
    struct grammar *g =
        compile(strcmp(kind, "regex") == 0 ? REGEX : SCHEMA, source, n_source, &err);
    if (!g) fail_msg("line %d: %s: %s", line, source, err.text);
    if (fits(g, text, n_text) != (want && !only))
        fail_msg("line %d: %s: %s should %sfit", line, source, text, want && !only ? "" : "not ");
    grammar_free(g);
}

static void test_agrees_with_jsonschema_and_re(void **state)
{
    (void)state;
    struct err err = {0};
    struct buf all;
    buf_init(&all, 1 << 24);
    assert_ok(file_read_all(golden_path("infer/constraint.jsonl"), 1 << 24, &all, &err), &err);
    int n = 0;
    for (char *line = all.data, *end; *line; line = end + 1) {
        end = strchr(line, '\n');
        if (!end) break;
        struct json_doc *d =
            json_parse(line, (size_t)(end - line), 1 << 20, "constraint.jsonl", &err);
        assert_ok(d, &err);
        check_row(json_root(d), ++n);
        json_free(d);
    }
    assert_true(n > 400);
    buf_release(&all);
}

/* ---- much of it ---- */

/* What is large but right compiles, within time and memory; what is too large says so. */
static void test_large_grammars(void **state)
{
    (void)state;
    struct buf b;
    struct err err = {0};
    buf_init(&b, GRAMMAR_MAX_TEXT_BYTES);
    buf_puts(&b, "{\"enum\":[");
    for (int i = 0; i < 5000; i++) buf_printf(&b, "%s\"value number %d\"", i ? "," : "", i * 7919);
    buf_puts(&b, "]}");
    struct grammar *g = compile(SCHEMA, b.data, b.n_bytes, &err);
    assert_ok(g, &err);
    assert_true(fits(g, "\"value number 7919\"", 19));
    assert_false(fits(g, "\"value number 7918\"", 19));
    grammar_free(g);

    for (int is_required = 0; is_required < 2; is_required++) {
        buf_clear(&b);
        buf_puts(&b, "{\"type\":\"object\",\"properties\":{");
        for (int i = 0; i < (is_required ? 5000 : 1000); i++)
            buf_printf(&b, "%s\"p%d\":{\"type\":\"integer\"}", i ? "," : "", i);
        buf_puts(&b, "},\"required\":[");
        for (int i = 0; i < 5000 && is_required; i++) buf_printf(&b, "%s\"p%d\"", i ? "," : "", i);
        buf_puts(&b, "]}");
        g = compile(SCHEMA, b.data, b.n_bytes, &err);
        assert_ok(g, &err);
        assert_int_equal(fits(g, "{\"p3\":1,\"p998\":2}", 17), !is_required);
        grammar_free(g);
    }

    buf_clear(&b); /* brackets within brackets */
    buf_puts(&b, "root ::= ");
    for (int i = 0; i < 100000; i++) buf_putc(&b, '(');
    assert_null(compile(GBNF, b.data, b.n_bytes, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    assert_null(compile(REGEX, b.data + 9, b.n_bytes - 9, &err));

    buf_clear(&b); /* a schema within a schema */
    for (int i = 0; i < 400; i++) buf_puts(&b, "{\"type\":\"array\",\"items\":");
    buf_puts(&b, "{\"type\":\"null\"}");
    for (int i = 0; i < 400; i++) buf_putc(&b, '}');
    g = compile(SCHEMA, b.data, b.n_bytes, &err);
    assert_ok(g, &err);
    grammar_free(g);

    buf_clear(&b); /* each rule uses the one behind it twice */
    buf_puts(&b, "root ::= r0\n");
    for (int i = 0; i < 10000; i++) buf_printf(&b, "r%d ::= \"a\" r%d r%d\n", i, i + 1, i + 1);
    buf_puts(&b, "r10000 ::= \"b\"");
    g = compile(GBNF, b.data, b.n_bytes, &err);
    assert_ok(g, &err);
    grammar_free(g);

    buf_clear(&b); /* anyOf within anyOf multiplies */
    buf_puts(&b, "{\"allOf\":[");
    for (int i = 0; i < 16; i++)
        buf_printf(&b, "%s{\"anyOf\":[{\"title\":\"%d\"},{\"title\":\"b\"},{\"title\":\"c\"}]}",
                   i ? "," : "", i);
    buf_puts(&b, "]}");
    assert_null(compile(SCHEMA, b.data, b.n_bytes, &err));
    assert_int_equal(err.code, ERR_LIMIT);
    buf_release(&b);
}

/* Nesting ends at the stack's limit and can be closed there; ambiguity is an error, not a hang. */
static void test_deep_and_ambiguous_texts(void **state)
{
    (void)state;
    struct err err = {0};
    static const char nest[] = "root ::= \"[\" root \"]\" | \"x\"";
    struct grammar *g = compile(GBNF, nest, sizeof nest - 1, &err);
    assert_ok(g, &err);
    struct stack_sets *s = stack_sets_new(g, &err);
    assert_ok(s, &err);
    stack_sets_set_budget(s, 1000000);
    int32_t set = stack_sets_start(s, 0, &err), depth = 0;
    for (int32_t next; depth < 2000; depth++, set = next) {
        next = stack_sets_step(s, set, '[', &err);
        if (next == SET_DEAD) break;
        assert_true(next > SET_DEAD);
    }
    assert_true(depth > 400 && depth <= STACK_MAX_DEPTH);
    set = stack_sets_step(s, set, 'x', &err);
    for (int32_t i = 0; i < depth; i++) set = stack_sets_step(s, set, ']', &err);
    assert_true(stack_sets_is_over(s, set));
    stack_sets_free(s);
    grammar_free(g);

    /* 2^n ways of n letters are n sets */
    static const char twice[] = "root ::= a | b\na ::= \"x\" root \"1\" | \"\"\n"
                                "b ::= \"x\" root \"2\" | \"\"";
    g = compile(GBNF, twice, sizeof twice - 1, &err);
    assert_ok(g, &err);
    s = stack_sets_new(g, &err);
    assert_ok(s, &err);
    stack_sets_set_budget(s, 1000000);
    set = stack_sets_start(s, 0, &err);
    for (int i = 0; i < 300; i++) set = stack_sets_step(s, set, 'x', &err);
    for (int i = 0; i < 300; i++) set = stack_sets_step(s, set, i % 3 ? '1' : '2', &err);
    if (set == SET_FAIL) fail_msg("%s", err.text);
    assert_true(stack_sets_is_whole(s, set));
    stack_sets_free(s);
    grammar_free(g);
}

static void test_failing_allocations(void **state)
{
    (void)state;
    static const struct {
        enum kind kind;
        const char *source;
    } rows[] = {
        {GBNF, "root ::= x (\",\" x)* [^a-z]{2}\nx ::= \"a\" x | \"b\""},
        {REGEX, "^[a-z]+(\\d{2}|\\p{N})$"},
        {SCHEMA,
         "{\"type\":\"object\",\"properties\":{\"a\":{\"type\":\"string\",\"format\":\"date\"},"
         "\"b\":{\"enum\":[1,\"x\"]},\"c\":{\"type\":\"array\",\"items\":{\"$ref\":\"#\"}}},"
         "\"additionalProperties\":{\"type\":\"number\",\"minimum\":0.5}}"},
    };
    for (size_t i = 0; i < ARRAY_LEN(rows); i++)
        for (int64_t n = 1;; n++) {
            struct err err = {0};
            fault_arm(FAULT_MEMORY, n);
            struct grammar *g = compile(rows[i].kind, rows[i].source, strlen(rows[i].source), &err);
            const bool was_hit = fault_disarm();
            if (g) {
                grammar_free(g);
            } else {
                assert_true(was_hit);
                assert_int_not_equal(err.code, ERR_OK);
            }
            if (!was_hit) break;
        }
}

static void test_equal_grammars_are_found_equal(void **state)
{
    (void)state;
    struct err err = {0};
    struct grammar *a = compile(REGEX, "ab|ac", 5, &err), *b = compile(REGEX, "a(b|c)", 6, &err);
    struct grammar *c = compile(REGEX, "a(b|d)", 6, &err);
    assert_ok(a && b && c, &err);
    assert_true(grammar_equal(a, b));
    assert_false(grammar_equal(a, c));
    assert_ptr_equal(grammar_share(a), a);
    grammar_free(a);
    grammar_free(a);
    grammar_free(b);
    grammar_free(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_texts_fit_or_not),
        cmocka_unit_test(test_refusals_say_why),
        cmocka_unit_test(test_agrees_with_jsonschema_and_re),
        cmocka_unit_test(test_large_grammars),
        cmocka_unit_test(test_deep_and_ambiguous_texts),
        cmocka_unit_test(test_failing_allocations),
        cmocka_unit_test(test_equal_grammars_are_found_equal),
    };
    return cmocka_run_group_tests_name("grammar", tests, NULL, NULL);
}
