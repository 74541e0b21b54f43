#!/usr/bin/env escript
%% -*- erlang -*-
%%! +S 2:2 +P 1000000
%% SPDX-License-Identifier: Apache-2.0
%% The workloads of core_bench.c on Erlang/OTP.
-mode(compile).

-define(PRODUCERS, 4).
-define(FAN_IN_EACH, 1000000).
-define(PINGS, 1000000).
-define(IDLE, 100000).

main(_) ->
    spawn_and_idle(),
    fan_in(),
    ping_pong(),
    request_reply().

print(Name, Value, Unit) ->
    io:format("~-24s ~12.3f ~s~n", [Name, Value, Unit]).

seconds(Start) ->
    (erlang:monotonic_time(nanosecond) - Start) / 1.0e9.

fan_in() ->
    Boss = self(),
    %% message_queue_data=off_heap is the setting for many senders
    To = spawn_opt(fun() -> consume(?PRODUCERS * ?FAN_IN_EACH, Boss) end,
                   [{message_queue_data, off_heap}]),
    All = [spawn(fun() -> receive go -> produce(?FAN_IN_EACH, To) end end)
           || _ <- lists:seq(1, ?PRODUCERS)],
    Start = erlang:monotonic_time(nanosecond),
    [P ! go || P <- All],
    receive done -> ok end,
    print("fan_in", ?PRODUCERS * ?FAN_IN_EACH / seconds(Start) / 1.0e6, "M/s").

consume(0, Boss) -> Boss ! done;
consume(N, Boss) -> receive _ -> consume(N - 1, Boss) end.

produce(0, _) -> ok;
produce(N, To) -> To ! N, produce(N - 1, To).

ping_pong() ->
    B = spawn(fun pong/0),
    Start = erlang:monotonic_time(nanosecond),
    Boss = self(),
    spawn(fun() -> ping(?PINGS, B), Boss ! done end),
    receive done -> ok end,
    print("ping_pong", seconds(Start) / ?PINGS * 1.0e9, "ns").

ping(0, _) -> ok;
ping(N, B) ->
    B ! {self(), N},
    receive N -> ping(N - 1, B) end.

pong() ->
    receive {From, N} -> From ! N, pong() end.

%% What gen_server:call does: a monitor for the time of the call, and a time limit.
request_reply() ->
    B = spawn(fun serve/0),
    Start = erlang:monotonic_time(nanosecond),
    Boss = self(),
    spawn(fun() -> ask(?PINGS, B), Boss ! done end),
    receive done -> ok end,
    print("request_reply", seconds(Start) / ?PINGS * 1.0e9, "ns").

ask(0, _) -> ok;
ask(N, B) ->
    Ref = erlang:monitor(process, B),
    B ! {call, self(), Ref, N},
    receive {Ref, _} -> erlang:demonitor(Ref, [flush])
    after 60000 -> exit(timeout)
    end,
    ask(N - 1, B).

serve() ->
    receive {call, From, Ref, N} -> From ! {Ref, N}, serve() end.

resident() ->
    {ok, Text} = file:read_file("/proc/self/statm"),
    list_to_integer(binary_to_list(lists:nth(2, binary:split(Text, <<" ">>, [global])))) * 4096.

spawn_and_idle() ->
    Before = resident(),
    Boss = self(),
    Start = erlang:monotonic_time(nanosecond),
    spawn(fun() -> Boss ! {all, [spawn(fun idle/0) || _ <- lists:seq(1, ?IDLE)]} end),
    All = receive {all, L} -> L end,
    print("spawn", ?IDLE / seconds(Start) / 1.0e3, "k/s"),
    timer:sleep(500),
    print("idle_bytes", (resident() - Before) / ?IDLE, "B"),
    {Spent, _} = statistics(runtime),
    timer:sleep(1000),
    {Later, _} = statistics(runtime),
    print("idle_cpu", float(Later - Spent), "ms/s"),
    [exit(P, kill) || P <- All].

idle() -> receive _ -> ok end.
