/* SPDX-License-Identifier: Apache-2.0 */
/* Server-sent events. Input: a byte for the limit of an event, a byte that seeds the splits, then
 * the stream.
 *
 * A second reader, which sees the whole stream at once and knows no state but its line, must agree
 * on every event, however the first one got its bytes. */
#include <errno.h>

#include "fuzz.h"
#include "sse.h"

struct heard {
    uint64_t digest; /* of all names and data, FNV-1a */
    unsigned count;
};

static void hear_bytes(struct heard *heard, const void *bytes, size_t size)
{
    for (size_t i = 0; i < size; i++)
        heard->digest = (heard->digest ^ ((const uint8_t *)bytes)[i]) * 0x100000001b3;
    heard->digest = (heard->digest ^ 0x100) * 0x100000001b3;
}

static int hear(void *arg, const char *name, const char *data, size_t size)
{
    struct heard *heard = arg;

    heard->count++;
    hear_bytes(heard, name, strlen(name));
    hear_bytes(heard, data, size);
    return 0;
}

/* ---- the second reader --------------------------------------------------------------------- */

struct naive {
    struct heard heard;
    char *data; /* as large as the stream */
    size_t size, event_max;
    char name[SSE_NAME_MAX];
};

static void naive_dispatch(struct naive *naive)
{
    if (naive->size > 0)
        hear(&naive->heard, naive->name, naive->data, naive->size - 1);
    naive->size = 0;
    naive->name[0] = '\0';
}

static int naive_line(struct naive *naive, const char *line, size_t size)
{
    if (size > naive->event_max)
        return -EMSGSIZE;
    if (size == 0) {
        naive_dispatch(naive);
        return 0;
    }
    size_t name = 0;
    while (name < size && line[name] != ':')
        name++;
    size_t value = name < size ? name + 1 : size;
    value += value < size && line[value] == ' ';
    if (name == 5 && memcmp(line, "event", 5) == 0) {
        size_t length = size - value < SSE_NAME_MAX ? size - value : SSE_NAME_MAX - 1;
        memcpy(naive->name, line + value, length);
        naive->name[length] = '\0';
    }
    if (name != 4 || memcmp(line, "data", 4) != 0)
        return 0;
    if (naive->size + size - value > naive->event_max)
        return -EMSGSIZE;
    memcpy(naive->data + naive->size, line + value, size - value);
    naive->size += size - value;
    naive->data[naive->size++] = '\n';
    return 0;
}

static int naive_read(struct naive *naive, const char *bytes, size_t size)
{
    size_t at = size >= 3 && memcmp(bytes, "\xef\xbb\xbf", 3) == 0 ? 3 : 0;
    while (at < size) {
        size_t end = at;
        while (end < size && bytes[end] != '\n' && bytes[end] != '\r')
            end++;
        int result = naive_line(naive, bytes + at, end - at);
        if (result < 0)
            return result;
        at = end + 1 + (end + 1 < size && bytes[end] == '\r' && bytes[end + 1] == '\n');
    }
    naive_dispatch(naive);
    return 0;
}

/* ---- the reader under test ----------------------------------------------------------------- */

/* seed 0: all at once. */
static int read_split(const char *bytes, size_t size, size_t event_max, uint32_t seed,
                      struct heard *ret_heard)
{
    struct sse sse;
    int result = 0;

    *ret_heard = (struct heard){0};
    sse_init(&sse, event_max, hear, ret_heard);
    for (size_t at = 0; at < size && result == 0;) {
        size_t piece = seed ? fuzz_piece(&seed, size - at) : size;
        result = sse_feed(&sse, bytes + at, piece);
        at += piece;
    }
    if (result == 0)
        result = sse_finish(&sse);
    sse_deinit(&sse);
    return result;
}

static void one(const uint8_t *bytes, size_t size)
{
    size_t event_max = 4 + fuzz_take(&bytes, &size);
    uint32_t seed = fuzz_take(&bytes, &size) + 1u;
    const char *stream = (const char *)bytes;
    struct naive naive = {.data = malloc(size + 1), .event_max = event_max};
    struct heard whole, split;

    assert(naive.data);
    int result = naive_read(&naive, stream, size);
    assert(read_split(stream, size, event_max, 0, &whole) == result);
    assert(read_split(stream, size, event_max, seed, &split) == result);
    assert(whole.count == naive.heard.count && whole.digest == naive.heard.digest);
    assert(split.count == naive.heard.count && split.digest == naive.heard.digest);
    free(naive.data);
}

FUZZ_TARGET(one, 4096, 4)
