----------------------------- MODULE CacheEntry -----------------------------
(***************************************************************************)
(* One key of a cache, and the world around it.                            *)
(*                                                                         *)
(* The first half is the machine of core/herdless_core/_machine.py: the    *)
(* same checks in the same order, under the same names. The second half is *)
(* its world: clients that ask and leave, loads that read a changing truth *)
(* at some moment and end when they like, owners that restart, and time.   *)
(*                                                                         *)
(* There is no clock. Ages count up to Cap, beyond which nothing differs   *)
(* any more; instants count from now, and one that is past is 0. So        *)
(* `now < entry.retry_at` of the code is `0 < e.retry_at` here, and no     *)
(* bound on time is needed.                                                *)
(***************************************************************************)
EXTENDS Integers, Sequences, FiniteSets

CONSTANTS
  NumberOfClients,       \* how many callers there are
  MaxGeneration,         \* how many flights there may be, one after the other
  MaxTruth,              \* how many values the truth takes, one after the other
  Ttl,                   \* the policy, in ticks; Never where it does not end
  EarlyRefresh,
  StaleWhileRevalidate,
  StaleIfError,
  NegativeTtl,
  Answers,               \* whether some errors of the loader's are answers, and all others say nothing of the key
  RememberTimeouts,      \* whether NegativeTtl holds for the error of the deadline too
  LoadTimeout,
  RefreshBackoff,
  MaxWaiters,
  CanCancel,             \* whether the runtime can cancel a load: what a waiter who leaves may find, {TRUE} or {FALSE} or both
  MayNotKeep,            \* whether a loader may say of its value that it is not to be kept
  MayReload,             \* whether a client may ask for a load, whatever is held
  HasSoftTimeout,        \* whether a client who waits may be answered with what is kept before the load ends
  Ages,                  \* how old a value may be when its load begins, or when it is put
  Ttls                   \* the ttl that a value may get: the policy's, one of its own, or one that jitter has made shorter

VARIABLES
  entry,       \* the key's entry
  detached,    \* evicted entries whose flights still have waiters
  loads,       \* loads in the air, those that were given up included
  clients,     \* what each client waits for
  truth,       \* what a load reads now
  floor,       \* the truth when the key was last invalidated or put
  generation,  \* the last generation that was used
  effects      \* what the last step ordered

\* All of it.
vars == <<entry, detached, loads, clients, truth, floor, generation, effects>>

-----------------------------------------------------------------------------
(* Values, ages and instants *)

\* The clients, by number.
Clients == 1 .. NumberOfClients

\* The instant that does not come, and the duration that does not end.
Never == 99

\* What stands where a value could: the loader's own error.
LoaderError == -1

\* One that says nothing of the key.
CutShort == -2

\* That of the deadline.
TimedOut == -3

\* One that is what there is to say of the key.
NotFound == -4

\* Whether an outcome is an error and not a value.
IsError(value) == value < 0

\* Whether an error takes the place of a value.
IsAnswer(error) == error = NotFound

\* Whether an error is remembered, where any is.
IsMemorable(error) ==
  IsAnswer(error) \/ (~Answers /\ error = LoaderError) \/ (RememberTimeouts /\ error = TimedOut)

\* How a load can fail. The second kind differs from the first only where errors are remembered that are no answers.
Errors ==
  CASE Answers -> {LoaderError, NotFound}
    [] NegativeTtl > 0 -> {LoaderError, CutShort}
    [] OTHER -> {LoaderError}

\* The larger of two numbers.
Max(a, b) == IF a > b THEN a ELSE b

\* The smaller of two numbers.
Min(a, b) == IF a < b THEN a ELSE b

\* The instant so much later than another.
After(instant, duration) == IF instant >= Never \/ duration >= Never THEN Never ELSE instant + duration

\* An instant as it is kept: one that is past is 0.
Instant(instant) == Max(instant, 0)

\* How long an outcome lives: until it is stale, until it is loaded early, and for how long it is served and kept past its
\* ttl.
Lifetime(ttl, early_refresh, stale_while_revalidate, stale_if_error) ==
  [ttl |-> ttl, early_refresh |-> early_refresh, stale_while_revalidate |-> stale_while_revalidate,
   stale_if_error |-> stale_if_error]

\* That of a value with this ttl, of which the early point is the same part as of the policy's.
LifetimeOf(ttl) ==
  Lifetime(ttl, IF EarlyRefresh = Ttl THEN ttl ELSE (ttl * EarlyRefresh) \div Ttl, StaleWhileRevalidate, StaleIfError)

\* Those that a value may get.
Lifetimes == {LifetimeOf(ttl) : ttl \in Ttls}

\* What a loader says in the place of one whose value is not to be kept.
DoNotKeep == Lifetime(-1, -1, 0, 0)

\* That of a remembered error.
NegativeLifetime == Lifetime(NegativeTtl, NegativeTtl, 0, 0)

\* How long a value is kept past its ttl.
Kept(lifetime) == Max(lifetime.stale_while_revalidate, lifetime.stale_if_error)

\* The age beyond which nothing differs any more.
Cap ==
  LET ends == {After(l.ttl, Kept(l)) : l \in Lifetimes} \union {NegativeTtl, LoadTimeout}
      finite == {d \in ends : d < Never} \union {0}
  IN  CHOOSE d \in finite : \A other \in finite : other <= d

\* An age one tick later.
Older(age) == Min(age + 1, Cap)

\* An instant one tick later.
Nearer(instant) == IF instant = Never THEN Never ELSE Instant(instant - 1)

-----------------------------------------------------------------------------
(* Flights and the five states: core/herdless_core/_states.py *)

\* A flight: the age says when it started.
Flight(g, age, due_at, waiters) == [generation |-> g, age |-> age, due_at |-> due_at, waiters |-> waiters]

\* Where there is no flight.
NoFlight == Flight(0, 0, 0, 0)

\* Nothing is known of the key.
Absent == [state |-> "Absent", flight |-> NoFlight]

\* A load is under way and there is nothing to answer meanwhile.
Pending(f) == [state |-> "Pending", flight |-> f]

\* An outcome within its ttl.
Fresh(value, lifetime, age, refresh_at, hit_until, f) ==
  [state |-> "Fresh", value |-> value, lifetime |-> lifetime, age |-> age, refresh_at |-> refresh_at,
   hit_until |-> hit_until, flight |-> f]

\* A value past its ttl that may still be answered.
Stale(value, age, stale_until, kept_until, retry_at, f) ==
  [state |-> "Stale", value |-> value, age |-> age, stale_until |-> stale_until, kept_until |-> kept_until,
   retry_at |-> retry_at, flight |-> f]

\* Removed from its key, while callers may still wait for its flight.
Evicted(cause, f) == [state |-> "Evicted", cause |-> cause, flight |-> f]

\* Whether a flight is attached.
HasFlight(e) == e.flight # NoFlight

\* Whether there is an outcome.
HasOutcome(e) == e.state \in {"Fresh", "Stale"}

\* Whether the entry remembers an error.
RemembersError(e) == e.state = "Fresh" /\ IsError(e.value)

\* From when on the outcome of a fresh entry is not fresh; not rounded up to now.
FreshUntil(e) == After(-e.age, e.lifetime.ttl)

-----------------------------------------------------------------------------
(* What a caller gets, and the effects: core/herdless_core/_effects.py *)

\* A value with its age.
Outcome(value, age, is_stale) == [value |-> value, age |-> age, is_stale |-> is_stale]

\* An error, which has none.
Failure(error) == Outcome(error, 0, FALSE)

\* What the entry has to answer with.
OutcomeOf(e) == IF IsError(e.value) THEN Failure(e.value) ELSE Outcome(e.value, e.age, e.state = "Stale")

\* The caller gets this now.
Answer(outcome) == [order |-> "Answer", outcome |-> outcome]

\* The caller waits for the flight, as its first waiter or as one more.
Join(g, leads) == [order |-> "Join", generation |-> g, leads |-> leads]

\* The caller gets an error: enough others wait.
Refuse == [order |-> "Refuse"]

\* Call the loader.
StartLoad(g, due_at) == [order |-> "StartLoad", generation |-> g, due_at |-> due_at]

\* Nobody has use for this load any more.
CancelLoad(g) == [order |-> "CancelLoad", generation |-> g]

\* All who wait for the flight get this.
Settle(g, outcome) == [order |-> "Settle", generation |-> g, outcome |-> outcome]

\* Set the flight's timer again.
Rearm(g, due_at) == [order |-> "Rearm", generation |-> g, due_at |-> due_at]

\* The entry is to be durable.
Save == [order |-> "Save"]

\* The key's entry is to be removed from storage.
Forget == [order |-> "Forget"]

\* The result of a step: the next entry, and the effects in their order.
Next(e, orders) == [entry |-> e, effects |-> orders]

-----------------------------------------------------------------------------
(* Building the next entry *)

\* An outcome that has just come.
NewFresh(value, lifetime, age) ==
  LET refresh_at == Instant(After(-age, lifetime.early_refresh))
  IN  Fresh(value, lifetime, age, refresh_at, IF IsError(value) THEN 0 ELSE refresh_at, NoFlight)

\* A fresh value whose ttl ended at an instant.
NewStale(e, fresh_until, retry_at) ==
  Stale(e.value, e.age, Instant(After(fresh_until, e.lifetime.stale_while_revalidate)),
        Instant(After(fresh_until, Kept(e.lifetime))), retry_at, e.flight)

\* The entry with another flight. A lookup past the deadline has a step to make, so it is not a hit without one.
WithFlight(e, f) ==
  CASE e.state = "Absent" -> Pending(f)
    [] e.state = "Fresh" /\ ~IsError(e.value) -> [e EXCEPT !.flight = f, !.hit_until = Instant(Min(FreshUntil(e), f.due_at))]
    [] OTHER -> [e EXCEPT !.flight = f]

\* The entry with another count of waiters.
WithWaiters(e, waiters) == WithFlight(e, [e.flight EXCEPT !.waiters = waiters])

\* The entry without its outcome.
WithoutOutcome(e) == IF HasFlight(e) THEN Pending(e.flight) ELSE Absent

\* The outcome kept, the flight gone; no refresh before an instant, nor before it was due anyway.
WithoutRefresh(e, at) ==
  IF e.state = "Stale"
  THEN [e EXCEPT !.flight = NoFlight, !.retry_at = Max(e.retry_at, at)]
  ELSE LET refresh_at == Max(e.refresh_at, at)
           hit_until == IF IsError(e.value) THEN 0 ELSE Instant(Min(FreshUntil(e), refresh_at))
       IN  [e EXCEPT !.flight = NoFlight, !.refresh_at = refresh_at, !.hit_until = hit_until]

\* The entry without its flight, after which a refresh may start at once.
WithoutFlight(e) ==
  CASE e.state \in {"Absent", "Pending"} -> Absent
    [] e.state = "Evicted" -> Evicted(e.cause, NoFlight)
    [] OTHER -> WithoutRefresh(e, 0)

\* The same entry now: a value past its ttl is stale, one past its windows is gone. Every step begins with it.
Aged(e) ==
  LET dropped(s) == IF s.state = "Stale" /\ s.kept_until = 0 THEN WithoutOutcome(s) ELSE s
  IN  IF e.state = "Fresh" /\ FreshUntil(e) <= 0
      THEN IF IsError(e.value) THEN WithoutOutcome(e) ELSE dropped(NewStale(e, FreshUntil(e), e.refresh_at))
      ELSE dropped(e)

-----------------------------------------------------------------------------
(* Reports. Each of these takes an entry that was aged. *)

\* LoadSucceeded: stored for its lifetime if it is to be kept, the flight is the entry's own, and the entry was not removed.
\* The value was so old when the load began.
LoadSucceededStep(e, g, value, lifetime, age) ==
  LET since == Min(e.flight.age + age, Cap)
      settle == Settle(g, Outcome(value, since, FALSE))
  IN  CASE e.flight.generation # g -> Next(e, <<Settle(g, Outcome(value, Cap, TRUE))>>)
        [] e.state = "Evicted" \/ lifetime = DoNotKeep -> Next(WithoutFlight(e), <<settle>>)
        [] OTHER -> Next(NewFresh(value, lifetime, since), <<Save, settle>>)

\* LoadFailed: a value still kept stays, and a refresh backs off, unless the error is an answer. Where no value stays, the
\* error is remembered if the policy says so.
LoadFailedStep(e, g, error) ==
  CASE e.flight.generation # g -> Next(e, <<Settle(g, Failure(error))>>)
    [] e.state = "Pending" \/ (HasOutcome(e) /\ IsAnswer(error)) ->
         IF NegativeTtl > 0 /\ IsMemorable(error)
         THEN Next(NewFresh(error, NegativeLifetime, 0), <<Save, Settle(g, Failure(error))>>)
         ELSE Next(Absent, (IF HasOutcome(e) THEN <<Forget>> ELSE <<>>) \o <<Settle(g, Failure(error))>>)
    [] e.state = "Evicted" -> Next(Evicted(e.cause, NoFlight), <<Settle(g, Failure(error))>>)
    [] OTHER -> Next(WithoutRefresh(e, RefreshBackoff), <<Settle(g, OutcomeOf(e))>>)

\* DeadlinePassed: too early it is set again; otherwise the flight is given up like one that failed.
DeadlinePassedStep(e, g) ==
  IF e.flight.generation = g /\ e.flight.due_at > 0
  THEN Next(e, <<Rearm(g, e.flight.due_at)>>)
  ELSE LET failed == LoadFailedStep(e, g, TimedOut) IN Next(failed.entry, Append(failed.effects, CancelLoad(g)))

\* WaiterLeft: the last one to leave takes the load along, where nobody else has use for it.
WaiterLeftStep(e, g, can_cancel) ==
  IF e.flight.generation # g \/ e.flight.waiters = 0
  THEN Next(e, <<>>)
  ELSE CASE e.flight.waiters = 1 /\ e.state = "Pending" /\ can_cancel -> Next(Absent, <<CancelLoad(g)>>)
         [] e.flight.waiters = 1 /\ e.state = "Evicted" -> Next(Evicted(e.cause, NoFlight), <<CancelLoad(g)>>)
         [] OTHER -> Next(WithWaiters(e, e.flight.waiters - 1), <<>>)

\* SoftTimeoutPassed: one who has waited so long is answered with what is kept, if anything is, and the load goes on.
SoftTimeoutPassedStep(e, g) ==
  IF e.flight.generation # g \/ e.flight.waiters = 0 \/ ~HasOutcome(e)
  THEN Next(e, <<>>)
  ELSE Next(WithWaiters(e, e.flight.waiters - 1), <<Answer(OutcomeOf(e))>>)

-----------------------------------------------------------------------------
(* Requests. Each of these takes an entry that was aged. *)

\* A flight that starts now.
NewFlight(g, waiters) == Flight(g, 0, LoadTimeout, waiters)

\* A load for the caller who asks.
StartAndJoin(e, g) == Next(WithFlight(e, NewFlight(g, 1)), <<Join(g, TRUE), StartLoad(g, LoadTimeout)>>)

\* A load for nobody in particular; the effects before it are those of the lookup.
StartBehind(e, g, before) == Next(WithFlight(e, NewFlight(g, 0)), Append(before, StartLoad(g, LoadTimeout)))

\* One more waiter, if there is room.
JoinFlight(e) ==
  IF e.flight.waiters >= MaxWaiters
  THEN Next(e, <<Refuse>>)
  ELSE Next(WithWaiters(e, e.flight.waiters + 1), <<Join(e.flight.generation, FALSE)>>)

\* An answer at once; behind it a refresh, if none is in flight and none has to wait.
AnswerAndRefresh(e, g, not_before) ==
  IF HasFlight(e) \/ not_before > 0
  THEN Next(e, <<Answer(OutcomeOf(e))>>)
  ELSE StartBehind(e, g, <<Answer(OutcomeOf(e))>>)

\* Get of an entry whose flight, if any, is in time. A reload has to be answered by a load, and not by what is held.
GetInTimeStep(e, g, reloads) ==
  CASE e.state = "Absent" -> StartAndJoin(e, g)
    [] e.state = "Pending" -> JoinFlight(e)
    [] HasOutcome(e) /\ reloads -> IF HasFlight(e) THEN JoinFlight(e) ELSE StartAndJoin(e, g)
    [] e.state = "Fresh" -> AnswerAndRefresh(e, g, e.refresh_at)
    [] e.state = "Stale" /\ (e.stale_until > 0 \/ e.retry_at > 0) -> AnswerAndRefresh(e, g, e.retry_at)
    [] e.state = "Stale" -> IF HasFlight(e) THEN JoinFlight(e) ELSE StartAndJoin(e, g)

\* Get: a flight past its deadline is given up first, for nobody may join it. The reply is the first effect all the same.
GetStep(e, g, reloads) ==
  IF HasFlight(e) /\ e.flight.due_at = 0
  THEN LET given_up == DeadlinePassedStep(e, e.flight.generation)
           answered == GetInTimeStep(given_up.entry, g, reloads)
       IN  Next(answered.entry, <<Head(answered.effects)>> \o given_up.effects \o Tail(answered.effects))
  ELSE GetInTimeStep(e, g, reloads)

\* Put: the value, so old already, takes the place of whatever there was for its lifetime, and waiters get it too.
PutStep(e, value, lifetime, age) ==
  LET fresh == NewFresh(value, lifetime, Min(age, Cap))
      g == e.flight.generation
  IN  Next(fresh, <<Save>> \o IF HasFlight(e) THEN <<Settle(g, OutcomeOf(fresh)), CancelLoad(g)>> ELSE <<>>)

\* Invalidate: the key has no entry any more; a flight stays for those who wait for it, and for nobody else.
InvalidateStep(e) ==
  IF e.flight.waiters > 0
  THEN Next(Evicted("invalidated", e.flight), <<Forget>>)
  ELSE Next(Evicted("invalidated", NoFlight),
            <<Forget>> \o IF HasFlight(e) THEN <<CancelLoad(e.flight.generation)>> ELSE <<>>)

\* Expire: a fresh value is stale from now on, its stale windows whole; a remembered error is forgotten.
ExpireStep(e) ==
  CASE e.state # "Fresh" -> Next(e, <<>>)
    [] IsError(e.value) -> Next(WithoutOutcome(e), <<Forget>>)
    [] OTHER -> Next(NewStale(e, 0, 0), <<Save>>)

\* Refresh: a load, unless one is in flight.
RefreshStep(e, g) == IF HasFlight(e) THEN Next(e, <<>>) ELSE StartBehind(e, g, <<>>)

\* Evict: the value goes for want of room, unless somebody waits for its flight.
EvictStep(e) ==
  IF ~HasOutcome(e) \/ e.flight.waiters > 0
  THEN Next(e, <<>>)
  ELSE Next(Evicted("evicted", NoFlight),
            <<Forget>> \o IF HasFlight(e) THEN <<CancelLoad(e.flight.generation)>> ELSE <<>>)

\* Restarted: whoever ran the flight is gone.
RestartedStep(e) == Next(WithoutFlight(e), <<>>)

-----------------------------------------------------------------------------
(* The world *)

\* A client that waits for nothing.
Idle == [waits_for |-> 0, since |-> 0]

\* A client that waits for a flight, and how old the value may be at most that it is given.
Waiting(g) == [waits_for |-> g, since |-> floor]

\* A load in the air; `read` is 0 until it has read the truth.
Load(g, read) == [generation |-> g, read |-> read]

\* The effects of one kind in a step.
Of(orders, kind) == {orders[i] : i \in {j \in DOMAIN orders : orders[j].order = kind}}

\* The generations that a step settles, starts, joins.
Generations(orders, kind) == {o.generation : o \in Of(orders, kind)}

\* What the step's effects do to the world; `caller` asked, `ended` are the loads that ended, `gone` the clients that left.
CarryOut(orders, caller, ended, gone) ==
  /\ effects' = orders
  /\ loads' = (loads \ ended) \union {Load(g, 0) : g \in Generations(orders, "StartLoad")}
  /\ generation' = IF Of(orders, "StartLoad") = {} THEN generation ELSE generation + 1
  /\ generation' <= MaxGeneration
  /\ clients' = [c \in Clients |->
       CASE c \in gone \/ clients[c].waits_for \in Generations(orders, "Settle") -> Idle
         [] c = caller /\ Of(orders, "Join") # {} -> Waiting(CHOOSE g \in Generations(orders, "Join") : TRUE)
         [] OTHER -> clients[c]]

\* An entry that was removed, and is kept while callers wait for its flight.
Removed(e) == IF e.state = "Evicted" /\ HasFlight(e) THEN {e} ELSE {}

\* A step of the key's entry. One that was removed leaves the key without entry.
StepOfEntry(step, caller, ended, gone) ==
  /\ entry' = IF step.entry.state = "Evicted" THEN Absent ELSE step.entry
  /\ detached' = detached \union Removed(step.entry)
  /\ CarryOut(step.effects, caller, ended, gone)

\* A step of an evicted entry.
StepOfDetached(d, step, ended, gone) ==
  /\ detached' = (detached \ {d}) \union Removed(step.entry)
  /\ CarryOut(step.effects, 0, ended, gone)
  /\ UNCHANGED entry

\* A report goes to the entry whose flight it is about, and where there is none to the key's entry, which must not mind.
Report(g, StepOf(_), ended, gone) ==
  /\ IF \E d \in detached : d.flight.generation = g
     THEN LET d == CHOOSE x \in detached : x.flight.generation = g IN StepOfDetached(d, StepOf(d), ended, gone)
     ELSE StepOfEntry(StepOf(Aged(entry)), 0, ended, gone)
  /\ UNCHANGED <<truth, floor>>

\* A client looks the key up, or has it loaded again and waits for that.
GetOrReload(c, reloads) ==
  /\ clients[c] = Idle
  /\ StepOfEntry(GetStep(Aged(entry), generation + 1, reloads), c, {}, {})

\* The same, in either way.
Get(c) ==
  /\ \E reloads \in (IF MayReload THEN BOOLEAN ELSE {FALSE}) : GetOrReload(c, reloads)
  /\ UNCHANGED <<truth, floor>>

\* Somebody puts what is true now, and has been for so long.
PutOf(lifetime, age) ==
  /\ StepOfEntry(PutStep(Aged(entry), truth, lifetime, age), 0, {}, {})
  /\ floor' = truth

\* The same, of any age and lifetime.
Put ==
  /\ \E lifetime \in Lifetimes, age \in Ages : PutOf(lifetime, age)
  /\ UNCHANGED truth

\* Somebody knows that what was read before is wrong now.
Invalidate ==
  /\ StepOfEntry(InvalidateStep(Aged(entry)), 0, {}, {})
  /\ floor' = truth
  /\ UNCHANGED truth

\* Somebody wants the value loaded again soon.
Expire == StepOfEntry(ExpireStep(Aged(entry)), 0, {}, {}) /\ UNCHANGED <<truth, floor>>

\* Somebody wants the value loaded now.
Refresh == StepOfEntry(RefreshStep(Aged(entry), generation + 1), 0, {}, {}) /\ UNCHANGED <<truth, floor>>

\* The keyspace wants the room.
Evict == StepOfEntry(EvictStep(Aged(entry)), 0, {}, {}) /\ UNCHANGED <<truth, floor>>

\* Whether the load of a generation is in the air.
InTheAir(g) == \E l \in loads : l.generation = g

\* The load of a generation that is.
LoadOf(g) == CHOOSE l \in loads : l.generation = g

\* A load reads the truth.
LoadReads(g) ==
  /\ InTheAir(g) /\ LoadOf(g).read = 0
  /\ loads' = (loads \ {LoadOf(g)}) \union {Load(g, truth)}
  /\ effects' = <<>>
  /\ UNCHANGED <<entry, detached, clients, truth, floor, generation>>

\* A load that has read ends well, with a value of this lifetime, or one not to be kept, that was so old when it began.
LoadGave(g, lifetime, age) ==
  /\ InTheAir(g) /\ LoadOf(g).read # 0
  /\ LET StepOf(e) == LoadSucceededStep(e, g, LoadOf(g).read, lifetime, age) IN Report(g, StepOf, {LoadOf(g)}, {})

\* The same, in any of these ways.
LoadSucceeded(g) ==
  /\ InTheAir(g)
  /\ \E lifetime \in Lifetimes \union (IF MayNotKeep THEN {DoNotKeep} ELSE {}), age \in Ages : LoadGave(g, lifetime, age)

\* A load ends by an error, whether it has read or not.
LoadRaised(g, error) ==
  /\ InTheAir(g)
  /\ LET StepOf(e) == LoadFailedStep(e, g, error) IN Report(g, StepOf, {LoadOf(g)}, {})

\* The same, by any error.
LoadFailed(g) ==
  /\ InTheAir(g)
  /\ \E error \in Errors : LoadRaised(g, error)

\* The timer of a load goes off, too early or not; nobody stops that of a load which was given up.
DeadlinePassed(g) ==
  /\ InTheAir(g) /\ LoadTimeout < Never
  /\ LET StepOf(e) == DeadlinePassedStep(e, g) IN Report(g, StepOf, {}, {})

\* A client no longer waits, where the runtime can cancel a load or cannot.
WaiterLeft(c, can_cancel) ==
  /\ clients[c] # Idle
  /\ LET g == clients[c].waits_for
         StepOf(e) == WaiterLeftStep(e, g, can_cancel)
     IN  Report(g, StepOf, {}, {c})

\* A client has waited for the policy's soft_timeout. It waits no more where something is kept to be answered with.
SoftTimeoutPassed(c) ==
  /\ HasSoftTimeout /\ clients[c] # Idle
  /\ LET g == clients[c].waits_for
         StepOf(e) == SoftTimeoutPassedStep(e, g)
         is_answered == HasOutcome(Aged(entry)) /\ entry.flight.generation = g
     IN  Report(g, StepOf, {}, IF is_answered THEN {c} ELSE {})

\* The owner is gone with all who waited; another takes over. A load may outlive it.
Restarted ==
  /\ entry' = RestartedStep(Aged(entry)).entry
  /\ detached' = {}
  /\ CarryOut(RestartedStep(Aged(entry)).effects, 0, {}, Clients)
  /\ UNCHANGED <<truth, floor>>

\* What is true changes.
TruthChanges ==
  /\ truth < MaxTruth
  /\ truth' = truth + 1
  /\ effects' = <<>>
  /\ UNCHANGED <<entry, detached, loads, clients, floor, generation>>

\* A flight one tick later.
LaterFlight(f) == IF f = NoFlight THEN f ELSE [f EXCEPT !.age = Older(@), !.due_at = Nearer(@)]

\* An entry one tick later. It does not age by itself, that is for the next step to see.
Later(e) ==
  LET f == LaterFlight(e.flight)
  IN  CASE e.state = "Fresh" ->
             Fresh(e.value, e.lifetime, Older(e.age), Nearer(e.refresh_at), Nearer(e.hit_until), f)
        [] e.state = "Stale" ->
             Stale(e.value, Older(e.age), Nearer(e.stale_until), Nearer(e.kept_until), Nearer(e.retry_at), f)
        [] OTHER -> [e EXCEPT !.flight = f]

\* Time passes.
Tick ==
  /\ entry' = Later(entry)
  /\ detached' = {Later(d) : d \in detached}
  /\ effects' = <<>>
  /\ UNCHANGED <<loads, clients, truth, floor, generation>>

\* Nothing is known and nobody waits.
Init ==
  /\ entry = Absent
  /\ detached = {}
  /\ loads = {}
  /\ clients = [c \in Clients |-> Idle]
  /\ truth = 1
  /\ floor = 1
  /\ generation = 0
  /\ effects = <<>>

\* What can happen.
Step ==
  \/ \E c \in Clients : Get(c)
  \/ Put
  \/ Invalidate
  \/ Expire
  \/ Refresh
  \/ Evict
  \/ \E g \in 1 .. MaxGeneration : LoadReads(g)
  \/ \E g \in 1 .. MaxGeneration : LoadSucceeded(g)
  \/ \E g \in 1 .. MaxGeneration : LoadFailed(g)
  \/ \E g \in 1 .. MaxGeneration : DeadlinePassed(g)
  \/ \E c \in Clients, can_cancel \in CanCancel : WaiterLeft(c, can_cancel)
  \/ \E c \in Clients : SoftTimeoutPassed(c)
  \/ Restarted
  \/ TruthChanges
  \/ Tick

\* The machine in its world; nothing need ever happen.
Spec == Init /\ [][Step]_vars
=============================================================================
