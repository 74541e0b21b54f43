/* SPDX-License-Identifier: Apache-2.0 */
/* The scripted model.
 *
 * It answers in one or two short sentences that name the role it was given and quote what it was
 * asked, so that a reader of a screen with five agents sees who speaks to whom, and a test sees
 * that the right text reached the right agent. "ask nova ..." and "tell axon ..." call a function
 * of that name if one is offered; what the function answers is quoted back. "ask nova to ask axon
 * ..." makes a chain, for what is passed on is the rest of the sentence.
 *
 * Which of its sentences it picks depends on the role and the question alone. */
#include "script.h"

#include <ctype.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#define ROLE_MAX 60
#define QUOTE_MAX 120
#define OUTPUT_MAX 400

static const char *const sentences[] = {
    "that goes in three small steps, and the first one is the smallest",
    "I looked at it from both sides, and the simple one wins",
    "begin with what must never break, and the rest will follow",
    "one owner, one queue, and nobody waits for long",
    "I would write it down first, then do it, then check it twice",
    "the shortest way is the one on which nothing is done twice",
    "that works, as long as somebody counts while it runs",
    "ask me again tomorrow and I will say the same, for I am scripted",
};
#define SENTENCE_COUNT (sizeof(sentences) / sizeof(sentences[0]))

static uint32_t text_hash(uint32_t hash, const char *text)
{
    for (; *text != '\0'; text++)
        hash = (hash ^ (unsigned char)*text) * 16777619u;
    return hash;
}

/* The longest start of `text` within `max` bytes that does not split a character. */
static int cut(const char *text, size_t max)
{
    size_t size = strlen(text);
    if (size <= max)
        return (int)size;
    size = max;
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    return (int)size;
}

static size_t token_count(const char *text)
{
    return text ? strlen(text) / 4 + 1 : 0;
}

/* "You are Nova, the tester. Be brief." is Nova, the tester. */
static void role_of(const char *instructions, char ret_role[ROLE_MAX + 1])
{
    static const char you_are[] = "You are ";
    const char *text = instructions ? instructions : "";
    text += strspn(text, " \t\r\n");
    if (strncasecmp(text, you_are, sizeof(you_are) - 1) == 0)
        text += sizeof(you_are) - 1;
    size_t size = strcspn(text, ".!?\r\n");
    int shown = cut(text, ROLE_MAX);
    if ((size_t)shown > size)
        shown = (int)size;
    snprintf(ret_role, ROLE_MAX + 1, "%.*s", shown, shown ? text : "");
    if (shown == 0)
        snprintf(ret_role, ROLE_MAX + 1, "an agent");
}

static json_t *tool_named(const json_t *tools, const char *name)
{
    size_t index = 0;
    json_t *tool = NULL;
    json_array_foreach(tools, index, tool) {
        const char *tool_name = json_string_value(json_object_get(tool, "name"));
        if (tool_name != NULL && strcmp(tool_name, name) == 0)
            return tool;
    }
    return NULL;
}

/* Words that follow "ask" and "tell" without being an agent's name. */
static bool is_pronoun(const char *word, size_t size)
{
    static const char *const words[] = { "me", "us", "him", "her", "them", "you", "it", "the",
                                         "a", "an", "if", "for", "about", "that", "what" };
    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]); i++) {
        if (strlen(words[i]) == size && strncasecmp(word, words[i], size) == 0)
            return true;
    }
    return false;
}

struct errand {
    const char *verb;
    const char *name;
    size_t name_size;
    const char *rest;
};

static size_t word_size(const char *text)
{
    size_t size = 0;
    while (isalnum((unsigned char)text[size]) || text[size] == '-' || text[size] == '_')
        size++;
    return size;
}

/* "ask nova to count" at the start of `text`? */
static bool errand_at(const char *text, struct errand *ret_errand)
{
    static const char *const verbs[] = { "ask", "tell" };
    static const char *const joints[] = { "to ", "that ", "whether " };
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        size_t size = strlen(verbs[i]);
        if (strncasecmp(text, verbs[i], size) != 0 || text[size] != ' ')
            continue;
        const char *name = text + size + strspn(text + size, " ");
        size_t name_size = word_size(name);
        if (name_size == 0 || is_pronoun(name, name_size))
            return false;
        const char *rest = name + name_size;
        rest += strspn(rest, " :,");
        for (size_t j = 0; j < sizeof(joints) / sizeof(joints[0]); j++) {
            if (strncasecmp(rest, joints[j], strlen(joints[j])) == 0) {
                rest += strlen(joints[j]);
                break;
            }
        }
        *ret_errand = (struct errand){ verbs[i], name, name_size, rest };
        return true;
    }
    return false;
}

static bool errand_find(const char *text, struct errand *ret_errand)
{
    for (const char *at = text; *at != '\0'; at++) {
        bool starts = at == text || !isalnum((unsigned char)at[-1]);
        if (starts && errand_at(at, ret_errand))
            return true;
    }
    return false;
}

/* Arguments by the tool's own schema: its first text parameter is the agent, its second what is
 * said. Without one: agent and text. */
static char *arguments_for(const json_t *tool, const struct errand *errand)
{
    const char *names[2] = { "agent", "text" };
    size_t count = 0;
    const char *key = NULL;
    json_t *value = NULL;
    json_t *properties = json_object_get(json_object_get(tool, "parameters"), "properties");
    json_object_foreach(properties, key, value) {
        const char *type = json_string_value(json_object_get(value, "type"));
        if (count < 2 && type != NULL && strcmp(type, "string") == 0)
            names[count++] = key;
    }
    json_t *arguments = json_object();
    char *name = strndup(errand->name, errand->name_size);
    for (char *c = name; c != NULL && *c != '\0'; c++)
        *c = (char)tolower((unsigned char)*c);
    json_object_set_new(arguments, names[0], json_string(name ? name : ""));
    json_object_set_new(arguments, names[1],
                        json_string(errand->rest[0] ? errand->rest : "hello"));
    char *text = json_dumps(arguments, JSON_COMPACT);
    json_decref(arguments);
    free(name);
    return text;
}

static int plan_text(const struct script_turn *turn, struct script_plan *plan)
{
    char role[ROLE_MAX + 1];
    role_of(turn->instructions, role);
    const char *user = turn->user ? turn->user : "";
    int size = 0;
    if (turn->tool_output != NULL) {
        size = asprintf(&plan->text, "Practice answer from %s: I passed it on, and this came "
                        "back: \"%.*s\"", role, cut(turn->tool_output, OUTPUT_MAX),
                        turn->tool_output);
    } else {
        uint32_t hash = text_hash(text_hash(2166136261u, role), user);
        size = asprintf(&plan->text, "Practice answer from %s: %s. You said: \"%.*s\"", role,
                        sentences[hash % SENTENCE_COUNT], cut(user, QUOTE_MAX), user);
    }
    if (size < 0)
        plan->text = NULL;
    return size < 0 ? -ENOMEM : 0;
}

int script_plan(const struct script_turn *turn, struct script_plan *ret_plan)
{
    struct script_plan plan = { 0 };
    struct errand errand;
    const json_t *tool = NULL;
    int r = 0;
    if (turn->tool_output == NULL && turn->user != NULL && errand_find(turn->user, &errand))
        tool = tool_named(turn->tools, errand.verb);
    if (tool != NULL) {
        plan.function = strdup(errand.verb);
        plan.arguments = arguments_for(tool, &errand);
        r = plan.function && plan.arguments ? 0 : -ENOMEM;
    } else {
        r = plan_text(turn, &plan);
    }
    plan.input_tokens = token_count(turn->instructions) + token_count(turn->user) +
                        token_count(turn->tool_output);
    plan.output_tokens = token_count(plan.text) + token_count(plan.arguments);
    if (r < 0)
        script_plan_deinit(&plan);
    else
        *ret_plan = plan;
    return r;
}

void script_plan_deinit(struct script_plan *plan)
{
    free(plan->text);
    free(plan->function);
    free(plan->arguments);
    *plan = (struct script_plan){ 0 };
}

size_t script_piece(const char *text)
{
    size_t size = strcspn(text, " ");
    return size + strspn(text + size, " ");
}
