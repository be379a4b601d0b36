/* SPDX-License-Identifier: Apache-2.0
 *
 * chat_match.c - looking for fragments in Jinja text, whatever way they are spelled.
 *
 * The same template is published in many spellings: quotes of either kind, x['y'] or x.y, line
 * breaks real or as "\n", literals joined by + or written between braces. So a family is known by
 * what is left when all that is taken away, and two texts are compared while both skip it:
 *
 *     {{ '<|im_start|>' + message['role'] + '\n' + message['content'] }}
 *     <|im_start|>{{- message.role }}
 *     {{ message.content }}                     both are  <|im_start|>message.rolemessage.content
 *
 * A hash of the text would know one spelling of each and miss every file that was touched since.
 * Nothing here runs or parses the program. Time is length of text times length of fragment.
 */
#include <string.h>

#include "text/chat_parts.h"

/* The first character at or after `s` that counts. */
static const char *skip(const char *s)
{
    for (;; s++) {
        if (*s == '\\' && s[1] == 'n')
            s++;
        else if (!*s || !strchr(" \t\r\n'\"+-{}]", *s))
            return s;
    }
}

static char plain(char c) { return c == '[' ? '.' : c; }

/* If `fragment`, which begins with a character that counts, is at `s`: the place behind it. */
static const char *fit(const char *s, const char *fragment)
{
    for (; *fragment; fragment = skip(fragment + 1)) {
        s = skip(s);
        if (plain(*s) != plain(*fragment)) return NULL;
        s++;
    }
    return s;
}

const char *chat_template_after(const char *tmpl, const char *fragment)
{
    fragment = skip(fragment);
    for (const char *s = skip(tmpl); *s; s = skip(s + 1)) {
        const char *end = plain(*s) == plain(*fragment) ? fit(s, fragment) : NULL;
        if (end) return end;
    }
    return NULL;
}

bool chat_template_has(const char *tmpl, const char *fragment)
{
    return chat_template_after(tmpl, fragment) != NULL;
}

const char *chat_template_of(const struct chat_family *f, const struct vocab *v)
{
    const char *tmpl = v->chat_template;
    return tmpl && f->matches(tmpl) ? tmpl : NULL;
}
