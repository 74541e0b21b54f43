/* SPDX-License-Identifier: Apache-2.0 */
/* From the list of model references to the ways there are to reach one.
 *
 * A reference is provider/model, split at the first slash. Each profile of the provider is a route
 * of its own. What costs money where the first reference did not is forbidden, unless a leading $
 * says that it may. */
#include "call.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define ROUTES_MAX 64

struct list {
    struct route rows[ROUTES_MAX];
    size_t count;
    unsigned refs;
    bool first_paid;
};

static void add(struct list *list, struct route route)
{
    if (list->count < ROUTES_MAX)
        list->rows[list->count++] = route;
}

static void add_reference(struct list *list, const struct settings *settings, const char *ref)
{
    bool allowed = *ref == '$';
    ref += allowed;
    const char *slash = strchr(ref, '/');
    size_t id_size = slash ? (size_t)(slash - ref) : strlen(ref);
    const struct provider *provider = settings_provider(settings, ref, id_size);
    struct route route = {.ref = ref, .profile = "", .number = list->refs++};
    if (!slash || slash[1] == '\0' || !provider || !provider->url) {
        add(list, route);
        return;
    }
    route.provider = provider;
    route.model = slash + 1;
    if (route.number == 0)
        list->first_paid = provider->paid;
    route.forbidden = provider->paid && !list->first_paid && !allowed;
    if (provider->auth == PROVIDER_AUTH_NONE || route.forbidden) {
        add(list, route);
        return;
    }
    for (size_t i = 0; i < provider->profile_count; i++) {
        route.profile = provider->profiles[i];
        add(list, route);
    }
}

int routes_make(const struct settings *settings, char *models, struct route **ret_routes,
                size_t *ret_count)
{
    struct list list = {.count = 0};
    for (char *line = models; line;) {
        char *stop = strchr(line, '\n');
        if (stop)
            *stop++ = '\0';
        if (*line)
            add_reference(&list, settings, line);
        line = stop;
    }
    struct route *routes = calloc(list.count + 1, sizeof(*routes));
    if (!routes)
        return -ENOMEM;
    memcpy(routes, list.rows, list.count * sizeof(*routes));
    *ret_routes = routes;
    *ret_count = list.count;
    return 0;
}
