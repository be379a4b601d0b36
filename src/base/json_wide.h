/* json_wide.h - JSON of strangers: numbers beyond what json_parse() takes. Any thread. */
#ifndef CRIA_BASE_JSON_WIDE_H
#define CRIA_BASE_JSON_WIDE_H

#include <stdbool.h>
#include <stddef.h>

/* Makes each number of the text s [n], which is no string, that is outside 64 bits or the doubles
 * the double next to it, at most 1e308 in size. What is no JSON stays so. True: there was one. */
bool json_narrow(char *s, size_t n);

#endif
