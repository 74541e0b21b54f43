/* SPDX-License-Identifier: Apache-2.0 */
/* Prints docs/PROTOCOL.md from the lists in proto/ and runtime/message.h, so that the document
 * cannot say anything else than the code. `ninja docs` writes it, a test compares. */
#include <stdio.h>

#include "proto/agent.h"
#include "proto/control.h"
#include "proto/model.h"
#include "proto/system.h"
#include "proto/token.h"
#include "runtime/message.h"

static const char introduction[] =
    "<!-- Made by tools/docs/protocol.c from the lists in proto/: edit those, run `ninja docs`. "
    "-->\n"
    "# The messages\n"
    "\n"
    "What actors say to each other, in one process and between processes alike. How a message is\n"
    "framed, addressed and answered on a ZeroMQ socket is in [wire.md](wire.md); this document is\n"
    "about bodies. The test vectors are in `tests/proto/vectors/messages.txt`.\n"
    "\n"
    "## Form of a body\n"
    "\n"
    "A body is one [msgpack](https://msgpack.org) array, its elements the message's fields in the\n"
    "order of the tables below, and nothing behind it.\n"
    "\n"
    "* Fields are only ever appended. A missing tail reads as zero, false or empty; elements\n"
    "  beyond the known ones are ignored. A number is never reused.\n"
    "* A field of another kind than the table says, text that is not UTF-8, a count or length\n"
    "  over what is there, nesting deeper than %d inside a value: the whole body is refused with\n"
    "  the status `malformed`.\n"
    "* A message that the receiver does not take is answered with the status `unknown_type`.\n"
    "\n"
    "| kind | in msgpack | is |\n"
    "| --- | --- | --- |\n"
    "| boolean | true, false | |\n"
    "| u64 | any integer from 0 | taken by value, however it is packed |\n"
    "| i64 | any integer that fits in 64 bits with sign | as above |\n"
    "| text | str | UTF-8 |\n"
    "| bytes | bin | |\n"
    "| secret | str | UTF-8; printed as `<secret>`, overwritten in memory after use |\n"
    "| value | any one value | nil is the empty value |\n"
    "\n"
    "Times are Unix time in milliseconds (`_ms` of kind i64) or spans (`_ms` of kind u64). A\n"
    "*stream* is any number of parts under the requester's credit and then one final answer.\n";

static const struct topic {
    const char *name;
    const char *about;
    uint32_t number; /* high byte of its messages */
} topics[] = {
    {"system", "What every actor may answer.", 0x00},
    {"token", "Access tokens: asked of the actor `token`, on a node or in the keeper.", 0x01},
    {"model", "Model calls and the transfers below them. These stay inside one process.", 0x02},
    {"agent", "Agents, each an actor under its own name, and the journal below them.", 0x03},
    {"control", "Looking into and steering processes.", 0x04},
};

/* Text of a table cell. */
static void print_cell(const char *text)
{
    for (; *text; text++) {
        if (*text == '|')
            putchar('\\');
        putchar(*text);
    }
}

static void print_message(const struct proto_schema *schema)
{
    printf("\n### %s (0x%04x)\n\n%s\n", schema->name, (unsigned)schema->number, schema->help);
    if (schema->field_count == 0)
        return;
    printf("\n| | field | kind | meaning |\n| --- | --- | --- | --- |\n");
    for (size_t i = 0; i < schema->field_count; i++) {
        const struct proto_field *field = &schema->fields[i];

        printf("| %zu | %s | %s |%s", i, field->name, proto_kind_name(field->kind),
               field->help[0] ? " " : "");
        print_cell(field->help);
        printf(" |\n");
    }
}

static void print_topic(const struct topic *topic)
{
    const struct proto_schema *schema;

    printf("\n## %s\n\n%s\n", topic->name, topic->about);
    for (size_t i = 0; (schema = proto_at(i)); i++)
        if (schema->number >> 8 == topic->number)
            print_message(schema);
}

static void print_refusals(void)
{
    printf("\n## Refusal codes\n\nWhat `refusal.code` may be. Programs decide by it; people read "
           "`why` and `remedy`.\n\n| code | meaning |\n| --- | --- |\n");
#define X(code, help) printf("| %s | %s |\n", #code, help);
    REFUSAL_CODES(X)
#undef X
}

static void print_statuses(void)
{
    printf("\n## Statuses\n\nThe runtime's own answers, when no actor gave one: a header without a "
           "body.\n\n| number | name | meaning |\n| --- | --- | --- |\n");
#define X(number, name, text, help) printf("| %d | %s | %s |\n", number, text, help);
    RUNTIME_STATUSES(X)
#undef X
}

int main(void)
{
    printf(introduction, PROTO_DEPTH_MAX);
    for (size_t i = 0; i < sizeof(topics) / sizeof(topics[0]); i++)
        print_topic(&topics[i]);
    print_refusals();
    print_statuses();
    return fflush(stdout) == 0 ? 0 : 1;
}
