/* err.h - how a failure travels: `bool` or pointer result, and `struct err *` as last argument.
 *
 * The callee that detects a failure fills the error once, leaves its outputs untouched and returns
 * false (or NULL). A caller that knows more puts it in front with err_wrap(). `err` is never NULL.
 * The text is one line, lower case, without full stop: file or option, place, what is wrong with
 * the actual value; then a semicolon and the remedy. Only cli/ prints it. Any thread; one error
 * object belongs to one thread at a time.
 */
#ifndef CRIA_BASE_ERR_H
#define CRIA_BASE_ERR_H

#include <stdbool.h>

/* A dropped result of a function that can fail is a warning. */
#define CRIA_CHECK __attribute__((warn_unused_result))
#define CRIA_PRINTF(fmt, args) __attribute__((format(printf, fmt, args)))

enum err_code {
    ERR_OK = 0,
    ERR_USAGE,       /* the command line or a request asks for what does not exist */
    ERR_IO,          /* the system refused: open, read, write, rename, mmap */
    ERR_FORMAT,      /* a file or message breaks its format */
    ERR_LIMIT,       /* a value is out of its declared range, or a thing is too long */
    ERR_MEMORY,      /* memory is not there, or the plan does not fit */
    ERR_UNSUPPORTED, /* well-formed, but not something we can do */
    ERR_BUSY,        /* try again later: no free page, queue full */
    ERR_CANCELLED,   /* somebody asked us to stop */
    ERR_NETWORK,     /* the other side did not answer as it should */
};

struct err {
    enum err_code code;
    char text[500];
};

#ifdef __cplusplus
extern "C" {
#endif

/* Fills `err` and returns false, so that `return err_set(...)` is a whole failure. */
bool err_set(struct err *err, enum err_code code, const char *fmt, ...) CRIA_PRINTF(3, 4);

/* Puts "fmt: " in front of the text of an error that is set already; returns false. */
bool err_wrap(struct err *err, const char *fmt, ...) CRIA_PRINTF(2, 3);

#ifdef __cplusplus
}
#endif

#endif
