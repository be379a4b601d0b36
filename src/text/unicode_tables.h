/* unicode_tables.h - the generated tables behind uc_class(), made by a script and never by hand,
 * and their look-up. Private to text/. Constant data; any thread.
 */
#ifndef CRIA_TEXT_UNICODE_TABLES_H
#define CRIA_TEXT_UNICODE_TABLES_H

#include <stdint.h>

extern const uint8_t uc_block_of[4352];
extern const uint8_t uc_blocks[8512];

enum { CP_OTHER, CP_LETTER, CP_NUMBER, CP_SPACE }; /* what two bits of a block mean */

static inline unsigned uc_two_bits(uint32_t cp)
{
    if (cp >= 0x110000) return CP_OTHER;
    const unsigned block = uc_block_of[cp >> 8];
    return ((unsigned)uc_blocks[block * 64 + ((cp & 255) >> 2)] >> (2 * (cp & 3))) & 3u;
}

#endif
