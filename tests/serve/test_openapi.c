/* SPDX-License-Identifier: Apache-2.0
 *
 * test_openapi.c - the document and the program say the same: every route is a path of it and every
 * path a route, every field that a body's reader knows is a property of the body's schema with the
 * same type and range, and there is no property besides.
 */
#include "test.h"

#include <ctype.h>
#include <stdio.h>

#include "base/json_write.h"
#include "serve/page.h"
#include "serve/reading.h"
#include "serve/routes.h"
#include "serve/translate.h"

static struct json_doc *doc;

static int open_doc(void **state)
{
    struct err err = {0};
    (void)state;
    const struct page_asset *a = page_assets;
    while (a->path && strcmp(a->path, "openapi.json") != 0) a++;
    doc = a->path ? json_parse(a->bytes, a->n_bytes, a->n_bytes, "the document", &err) : NULL;
    return doc ? 0 : -1;
}

static int close_doc(void **state)
{
    (void)state;
    json_free(doc);
    return 0;
}

/* The value behind keys that are joined by blanks: "components schemas Error". */
static struct json at(struct json v, const char *keys)
{
    char key[80];
    while (*keys) {
        const size_t n = strcspn(keys, " ");
        snprintf(key, sizeof key, "%.*s", (int)n, keys);
        v = json_get(v, key);
        keys += n + (keys[n] == ' ');
    }
    return v;
}

/* ---- routes ---- */

static const struct method {
    const char *name;
    enum evhttp_cmd_type type;
} methods[] = {
    {"get", EVHTTP_REQ_GET},
    {"post", EVHTTP_REQ_POST},
    {"put", EVHTTP_REQ_PUT},
    {"delete", EVHTTP_REQ_DELETE},
};

/* The row's path of a path of the document: without /v1, up to what varies, or with * in its place.
 */
static void path_of_row(const char *path, char out[80])
{
    if (strncmp(path, "/v1/", 4) == 0) path += 3;
    const char *end = strchr(path, '}');
    snprintf(out, 80, "%.*s%s%s", (int)strcspn(path, "{"), path, end && end[1] ? "*" : "",
             end ? end + 1 : "");
}

static const struct route *find_row(const char *path, enum evhttp_cmd_type type)
{
    const struct route *r = routes;
    while (r->path && (strcmp(r->path, path) != 0 || r->method != type)) r++;
    return r->path ? r : NULL;
}

static bool has_status(struct json operation, const char *status)
{
    return json_type(json_get(json_get(operation, "responses"), status)) == JSON_OBJECT;
}

static void check_operation(const char *path, const char *method, struct json operation,
                            const struct route *r)
{
    const char *ref = "";
    const struct json security = json_get(operation, "security");
    const bool is_free = json_type(security) == JSON_ARRAY && json_len(security) == 0;
    if (is_free == r->needs_key || has_status(operation, "401") != r->needs_key)
        fail_msg("%s %s: whether it needs a key", method, path);
    if (r->counts && !has_status(operation, "429")) fail_msg("%s %s: 429", method, path);
    if (!has_status(operation, "200") || !has_status(operation, "403"))
        fail_msg("%s %s: 200 and 403", method, path);
    json_str(at(operation, "responses 400 $ref"), &ref, NULL);
    assert_string_equal(ref, r->style == REFUSAL_ANTHROPIC
                                 ? "#/components/responses/AnthropicRefusal"
                                 : "#/components/responses/Refusal");
}

static void test_routes(void **state)
{
    bool is_told[64] = {false};
    struct json_iter it = json_iter(json_get(json_root(doc), "paths"));
    struct json item;
    const char *path = NULL;
    char row_path[80];
    int n = 0;
    (void)state;
    while (json_next(&it, &path, NULL, &item)) {
        path_of_row(path, row_path);
        for (size_t i = 0; i < sizeof methods / sizeof *methods; i++) {
            const struct json operation = json_get(item, methods[i].name);
            if (json_type(operation) == JSON_NONE) continue;
            const struct route *r = find_row(row_path, methods[i].type);
            if (!r) fail_msg("%s %s is no route", methods[i].name, path);
            check_operation(path, methods[i].name, operation, r);
            is_told[r - routes] = true;
            n++;
        }
    }
    for (const struct route *r = routes; r->path; r++)
        if (!is_told[r - routes]) fail_msg("%s (%d) is not in the document", r->path, r->method);
    assert_true(n > 20);
}

/* ---- fields ---- */

static struct json schema_of(const char *name)
{
    return at(at(json_root(doc), "components schemas"), name);
}

static bool has_type(struct json p, const char *type)
{
    struct json_iter it = json_iter(json_get(p, "type"));
    struct json v;
    while (json_next(&it, NULL, NULL, &v))
        if (json_is_word(v, type)) return true;
    return false;
}

static bool has_number(struct json p, const char *key, double want)
{
    double x = 0;
    return json_f64(json_get(p, key), &x) && x >= want && x <= want;
}

static bool has_ref(struct json p, const char *schema)
{
    char ref[80];
    snprintf(ref, sizeof ref, "#/components/schemas/%s", schema);
    return json_is_word(json_get(p, "$ref"), ref);
}

static bool is_same(struct json a, struct json b)
{
    struct buf ta, tb;
    buf_init(&ta, 1 << 20);
    buf_init(&tb, 1 << 20);
    struct json_writer wa = json_writer(&ta), wb = json_writer(&tb);
    json_copy(&wa, a);
    json_copy(&wb, b);
    const bool is = ta.n_bytes > 0 && ta.n_bytes == tb.n_bytes && !strcmp(ta.data, tb.data);
    buf_release(&ta);
    buf_release(&tb);
    return is;
}

static const char *chats_name(const struct shape *s, const char *theirs)
{
    for (const struct rename *n = s->renames; n->theirs; n++)
        if (strcmp(n->theirs, theirs) == 0) return n->chats;
    return theirs;
}

static bool fits(const struct field *f, struct json p, const struct shape *shape)
{
    const bool is_nullable = has_type(p, "null");
    switch (f->kind) {
    case FIELD_FLOAT:
    case FIELD_INT:
        return has_type(p, f->kind == FIELD_INT ? "integer" : "number") && is_nullable &&
               has_number(p, "minimum", f->min) && has_number(p, "maximum", f->max);
    case FIELD_INT64:
        return has_type(p, "integer") && is_nullable;
    case FIELD_BOOL:
        return has_type(p, "boolean") && is_nullable;
    case FIELD_STR: /* of a few words, or of a length */
        return json_type(json_get(p, "enum")) == JSON_ARRAY || has_number(p, "maxLength", f->max);
    case FIELD_COPIED:
        return shape && is_same(p, json_get(schema_of("ChatRequest properties"),
                                            chats_name(shape, f->name)));
    case FIELD_IGNORED:
        return has_ref(p, "Ignored");
    case FIELD_REFUSED:
        return has_ref(p, "NotDone");
    case FIELD_JSON:
    case FIELD_OTHER:
        return json_len(p) > 0 && !has_ref(p, "Ignored") && !has_ref(p, "NotDone");
    }
    return false;
}

static void check_fields(const char *name, struct json schema, const struct field *rows,
                         const struct shape *shape)
{
    const struct json properties = json_get(schema, "properties");
    struct json_iter it = json_iter(properties);
    struct json p;
    const char *key = NULL;
    size_t n_rows = 0;
    for (const struct field *f = rows; f->name; f++, n_rows++)
        if (!fits(f, json_get(properties, f->name), shape))
            fail_msg("%s.%s is not in the document as it is read", name, f->name);
    while (json_next(&it, &key, NULL, &p)) {
        const struct field *f = rows;
        while (f->name && strcmp(f->name, key) != 0) f++;
        if (!f->name) fail_msg("%s.%s is in the document, and nobody reads it", name, key);
    }
    assert_true(n_rows > 0 && n_rows == json_len(properties));
}

static void test_fields(void **state)
{
    const struct {
        const char *schema;
        const struct field *rows;
        const struct shape *shape;
    } bodies[] = {
        {"ChatRequest", gen_fields(GEN_CHAT), NULL},
        {"CompletionRequest", gen_fields(GEN_TEXT), NULL},
        {"ResponseRequest", shape_responses.fields, &shape_responses},
        {"MessagesRequest", shape_messages.fields, &shape_messages},
        {"EmbeddingsRequest", reading_embeddings.fields, NULL},
        {"RerankRequest", reading_rerank.fields, NULL},
        {"TokenizeRequest", tokenize_fields, NULL},
        {"DetokenizeRequest", detokenize_fields, NULL},
        {"AdapterToLoad", adapter_rows, NULL},
        {"AdapterToUnload", adapter_rows, NULL},
    };
    (void)state;
    for (size_t i = 0; i < sizeof bodies / sizeof *bodies; i++)
        check_fields(bodies[i].schema, schema_of(bodies[i].schema), bodies[i].rows,
                     bodies[i].shape);
}

/* Every body of the document is one that is compared above, or the page's chat. */
static void test_bodies(void **state)
{
    static const char *const known[] = {
        "ChatRequest",
        "CompletionRequest",
        "ResponseRequest",
        "MessagesRequest",
        "EmbeddingsRequest",
        "RerankRequest",
        "TokenizeRequest",
        "DetokenizeRequest",
        "AdapterToLoad",
        "AdapterToUnload",
        "Chat",
    };
    struct json_iter it = json_iter(json_get(json_root(doc), "paths"));
    struct json item;
    const char *path = NULL;
    (void)state;
    while (json_next(&it, &path, NULL, &item)) {
        struct json_iter each = json_iter(item);
        struct json operation;
        while (json_next(&each, NULL, NULL, &operation)) {
            const struct json schema = json_get(
                json_get(at(operation, "requestBody content"), "application/json"), "schema");
            bool is_known = json_type(schema) == JSON_NONE;
            for (size_t i = 0; i < sizeof known / sizeof *known; i++)
                is_known = is_known || has_ref(schema, known[i]);
            if (!is_known) fail_msg("%s: a body that no test looks at", path);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_routes),
        cmocka_unit_test(test_fields),
        cmocka_unit_test(test_bodies),
    };
    return cmocka_run_group_tests(tests, open_doc, close_doc);
}
