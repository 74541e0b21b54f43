/* SPDX-License-Identifier: Apache-2.0 */
/* docs/CONFIG.md, from the table of keys. */
#include <stdio.h>
#include <string.h>

#include "queenright/config/keys.h"

static const char intro[] =
    "<!-- Printed from tools/queenright/config/keys.c; edit that and run `ninja docs`. -->\n"
    "# Configuration\n"
    "\n"
    "One JSON file, plain JSON without comments, at most 1 MiB. `queenright up` takes the file it\n"
    "is given, else `./queenright.json`, else `~/.config/queenright/queenright.json`, and prints\n"
    "which. `queenright config check` tells all that is wrong with a file, with line and column;\n"
    "`queenright config diff` what a reload of a changed one would do. The program never writes\n"
    "it.\n"
    "\n"
    "* Where OpenClaw has a key for a thing, name and meaning are the same.\n"
    "* Unknown keys, duplicate keys and wrong types are errors. A file with errors changes\n"
    "  nothing: what runs goes on with the last accepted one.\n"
    "* `${NAME}` in a string is replaced with the environment variable, whose name is in upper\n"
    "  case; a missing one is an error. `$${` stands for a plain `${`.\n"
    "* No secrets: access tokens, refresh tokens and API keys live with the keeper. What looks\n"
    "  like a secret is refused.\n"
    "* Ids of agents, nodes, providers and the swarm are made of `a-z`, `0-9`, `_` and `-`, at\n"
    "  most 63 characters, and are lower-cased. Profile ids are kept as they are.\n"
    "* A model is named `provider/model`, split at the first `/`.\n"
    "\n"
    "The smallest file that runs an agent:\n"
    "\n"
    "```json\n"
    "{\n"
    "  \"agents\": {\n"
    "    \"defaults\": { \"model\": \"chatgpt/gpt-5.5\" },\n"
    "    \"entries\": { \"atlas\": { \"instructions\": \"You are Atlas.\" } }\n"
    "  }\n"
    "}\n"
    "```\n"
    "\n"
    "In the table, `*` stands for an id of your choice and `[]` for an item of a list.\n"
    "\n"
    "| key | what | default | meaning |\n"
    "| --- | --- | --- | --- |\n";

static void type_print(const struct config_key *key)
{
    static const char *const names[] = {
        [CONFIG_OBJECT] = "object",     [CONFIG_MAP] = "object, by id",
        [CONFIG_LIST] = "list",         [CONFIG_STRING] = "string",
        [CONFIG_TEXT] = "text",         [CONFIG_ID] = "id",
        [CONFIG_URL] = "URL",           [CONFIG_ENUM] = "",
        [CONFIG_INT] = "number",        [CONFIG_BOOL] = "true or false",
        [CONFIG_MODEL] = "model",       [CONFIG_SECRET] = "refused",
        [CONFIG_ELSEWHERE] = "refused",
    };
    printf("%s", names[key->type]);
    if (key->flags & KEY_OR_MODEL)
        printf(" or model");
    if (key->type == CONFIG_INT)
        printf(", %lld to %lld", key->min, key->max);
    if (key->type == CONFIG_ENUM)
        for (const char *at = key->values; *at; at += strspn(at, "|")) {
            int length = (int)strcspn(at, "|");
            printf("%s`%.*s`", at == key->values ? "" : ", ", length, at);
            at += length;
        }
}

static void row_print(const struct config_key *key)
{
    printf("| `%s` | ", key->path);
    type_print(key);
    if (key->flags & KEY_REQUIRED)
        printf(" | required | ");
    else if (key->fallback && *key->fallback)
        printf(" | `%s` | ", key->fallback);
    else
        printf(" | | ");
    printf("%s |\n", key->help);
}

int main(void)
{
    fputs(intro, stdout);
    const struct config_key *key;
    for (size_t i = 1; (key = config_key_at(i)); i++)
        row_print(key);
    return fflush(stdout) == 0 ? 0 : 1;
}
