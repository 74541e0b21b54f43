/* SPDX-License-Identifier: Apache-2.0 */
/* All messages. A new topic is a line here, in number order. */
#include "proto/agent.h"
#include "proto/control.h"
#include "proto/model.h"
#include "proto/system.h"
#include "proto/token.h"

#define TOPICS(X) X(system) X(token) X(model) X(agent) X(control)

static const struct topic {
    const struct proto_schema *const *schemas;
    const size_t *count;
} topics[] = {
#define X(topic) {proto_##topic##_schemas, &proto_##topic##_schema_count},
    TOPICS(X)
#undef X
};

#define TOPIC_COUNT (sizeof(topics) / sizeof(topics[0]))

const struct proto_schema *proto_at(size_t i)
{
    for (size_t t = 0; t < TOPIC_COUNT; t++) {
        if (i < *topics[t].count)
            return topics[t].schemas[i];
        i -= *topics[t].count;
    }
    return NULL;
}

const struct proto_schema *proto_find(uint32_t number)
{
    for (size_t t = 0; t < TOPIC_COUNT; t++)
        for (size_t i = 0; i < *topics[t].count; i++)
            if (topics[t].schemas[i]->number == number)
                return topics[t].schemas[i];
    return NULL;
}
