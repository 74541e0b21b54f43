// SPDX-License-Identifier: Apache-2.0
// The workloads of core_bench.c on the C++ Actor Framework 0.17, written as its manual does.
#include <chrono>
#include <cstdio>
#include <fstream>
#include <string>
#include <thread>
#include <unistd.h>

#include "caf/all.hpp"

using namespace caf;
using clock_type = std::chrono::steady_clock;

namespace {

constexpr uint64_t producers = 4, fan_in_each = 1000000, burst = 1000, pings = 1000000,
                   idle_actors = 100000;

using go_atom = atom_constant<atom("go")>;
using done_atom = atom_constant<atom("done")>;

double seconds_since(clock_type::time_point start)
{
    return std::chrono::duration<double>(clock_type::now() - start).count();
}

void print(const char* name, double value, const char* unit)
{
    std::printf("%-24s %12.3f %s\n", name, value, unit);
    std::fflush(stdout);
}

behavior consumer(event_based_actor* self, actor boss)
{
    auto count = std::make_shared<uint64_t>(0);
    return {[=](uint64_t) {
        if (++*count == producers * fan_in_each)
            self->send(boss, done_atom::value);
    }};
}

behavior producer(event_based_actor* self, actor to)
{
    auto count = std::make_shared<uint64_t>(0);
    return {[=](go_atom) {
        for (uint64_t i = 0; i < burst && *count < fan_in_each; i++)
            self->send(to, (*count)++);
        if (*count < fan_in_each)
            self->send(self, go_atom::value);
    }};
}

void fan_in(actor_system& system)
{
    scoped_actor self{system};
    auto to = system.spawn(consumer, actor_cast<actor>(self));
    std::vector<actor> all;
    for (uint64_t i = 0; i < producers; i++)
        all.push_back(system.spawn(producer, to));
    auto start = clock_type::now();
    for (auto& one : all)
        self->send(one, go_atom::value);
    self->receive([](done_atom) {});
    print("fan_in", producers * fan_in_each / seconds_since(start) / 1e6, "M/s");
}

behavior pong(event_based_actor* self)
{
    return {[=](uint64_t n) { self->send(actor_cast<actor>(self->current_sender()), n); }};
}

behavior ping(event_based_actor* self, actor to, actor boss)
{
    return {[=](go_atom) { self->send(to, uint64_t{0}); },
            [=](uint64_t n) {
                if (n + 1 == pings)
                    self->send(boss, done_atom::value);
                else
                    self->send(to, n + 1);
            }};
}

behavior replier(event_based_actor*)
{
    return {[](uint64_t n) { return n; }};
}

void ask(event_based_actor* self, actor to, actor boss, uint64_t n)
{
    self->request(to, std::chrono::seconds(60), n).then([=](uint64_t answered) {
        if (answered + 1 == pings)
            self->send(boss, done_atom::value);
        else
            ask(self, to, boss, answered + 1);
    });
}

behavior asker(event_based_actor* self, actor to, actor boss)
{
    return {[=](go_atom) { ask(self, to, boss, 0); }};
}

template <class F>
void rounds(actor_system& system, const char* name, F spawn)
{
    scoped_actor self{system};
    auto first = spawn(actor_cast<actor>(self));
    auto start = clock_type::now();
    self->send(first, go_atom::value);
    self->receive([](done_atom) {});
    print(name, seconds_since(start) / pings * 1e9, "ns");
}

size_t resident_bytes()
{
    size_t size = 0, resident = 0;
    std::ifstream file{"/proc/self/statm"};
    file >> size >> resident;
    return resident * static_cast<size_t>(sysconf(_SC_PAGESIZE));
}

double processor_ms()
{
    timespec spent{};
    clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &spent);
    return spent.tv_sec * 1e3 + spent.tv_nsec / 1e6;
}

behavior idler(event_based_actor*)
{
    return {[](uint64_t) {}};
}

void spawn_and_idle(actor_system& system)
{
    std::vector<actor> keep;
    keep.reserve(idle_actors);
    auto before = resident_bytes();
    auto start = clock_type::now();
    for (uint64_t i = 0; i < idle_actors; i++) // from an actor it is many times slower
        keep.push_back(system.spawn(idler));
    print("spawn", idle_actors / seconds_since(start) / 1e3, "k/s");
    std::this_thread::sleep_for(std::chrono::milliseconds(500));
    print("idle_bytes", double(resident_bytes() - before) / idle_actors, "B");
    auto spent = processor_ms();
    std::this_thread::sleep_for(std::chrono::seconds(1));
    print("idle_cpu", processor_ms() - spent, "ms/s");
}

} // namespace

int main(int argc, char** argv)
{
    actor_system_config config;
    config.set("scheduler.max-threads", argc > 1 ? std::stoul(argv[1]) : 2ul);
    actor_system system{config};
    spawn_and_idle(system);
    fan_in(system);
    rounds(system, "ping_pong", [&](actor boss) {
        return system.spawn(ping, system.spawn(pong), boss);
    });
    rounds(system, "request_reply", [&](actor boss) {
        return system.spawn(asker, system.spawn(replier), boss);
    });
}
