/* SPDX-License-Identifier: Apache-2.0
 *
 * decode_text.c - from the encodings that text files have to UTF-8.
 *
 * Bytes that are well-formed UTF-8 are taken as such even if the file declares something else: by
 * chance that almost never happens, while wrong declarations are common. The conversions are the C
 * library's (iconv); a sequence that it refuses becomes U+FFFD and reading goes on.
 */
#include "retrieve/decode_text.h"

#include <iconv.h>
#include <string.h>

#include "text/unicode.h"

bool is_utf8(const uint8_t *data, size_t n_bytes)
{
    for (size_t i = 0; i < n_bytes;) {
        uint32_t cp = 0;
        bool is_bad = false;
        if (data[i] < 0x80) {
            i++;
            continue;
        }
        i += (size_t)utf8_decode(data + i, n_bytes - i, &cp, &is_bad);
        if (is_bad) return false;
    }
    return true;
}

static void convert(iconv_t cd, const uint8_t *data, size_t n_bytes, struct buf *out)
{
    char *in = (char *)(uintptr_t)data;
    size_t n_in = n_bytes;
    while (n_in > 0 && !out->is_failed) {
        char piece[4096], *to = piece;
        size_t n_to = sizeof piece;
        const size_t rc = iconv(cd, &in, &n_in, &to, &n_to);
        buf_append(out, piece, sizeof piece - n_to);
        if (rc == (size_t)-1 && n_to == sizeof piece && n_in > 0) {
            buf_puts(out, "\xEF\xBF\xBD");
            in++;
            n_in--;
        }
    }
}

bool decode_text(const uint8_t *data, size_t n_bytes, const char *charset, struct buf *out,
                 struct err *err)
{
    static const struct {
        const char *mark;
        size_t n;
        const char *charset;
    } marks[] = {
        {"\xEF\xBB\xBF", 3, "UTF-8"}, {"\xFF\xFE", 2, "UTF-16LE"}, {"\xFE\xFF", 2, "UTF-16BE"}};
    for (size_t i = 0; i < sizeof marks / sizeof marks[0]; i++)
        if (n_bytes >= marks[i].n && memcmp(data, marks[i].mark, marks[i].n) == 0) {
            data += marks[i].n;
            n_bytes -= marks[i].n;
            charset = marks[i].charset;
            break;
        }
    const bool is_wide = charset && strncmp(charset, "UTF-16", 6) == 0;
    if (!is_wide && is_utf8(data, n_bytes)) {
        buf_append(out, data, n_bytes);
        return buf_check(out, "the text", err);
    }
    iconv_t cd = charset && strlen(charset) < 40 ? iconv_open("UTF-8", charset) : (iconv_t)-1;
    if (cd == (iconv_t)-1) cd = iconv_open("UTF-8", "WINDOWS-1252");
    if (cd == (iconv_t)-1)
        return err_set(err, ERR_UNSUPPORTED,
                       "this text is no UTF-8, and the system converts nothing; convert it first");
    convert(cd, data, n_bytes, out);
    iconv_close(cd);
    return buf_check(out, "the text", err);
}
