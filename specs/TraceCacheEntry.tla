--------------------------- MODULE TraceCacheEntry ---------------------------
(***************************************************************************)
(* Whether what adapters did is a behaviour of CacheEntry.tla.             *)
(*                                                                         *)
(* specs/traces.py turns recorded traces into a module that extends this   *)
(* one: for each trace and key a sequence of moves, all of them moves of   *)
(* the specification, each with what was recorded of its result. A trace   *)
(* from which no move leads on although it is not at its end has departed. *)
(*                                                                         *)
(* What a trace does not say is put in between, without a result to agree  *)
(* with: that time passed, and that the truth changed before a load read   *)
(* it, a value was put or the key was invalidated. So every value has a    *)
(* number of its own here, whoever made it, and the promises about what is *)
(* read and stored can be examined on the way.                             *)
(***************************************************************************)
EXTENDS CacheEntryInv, TLC

CONSTANTS
  Traces,  \* for each trace its moves
  Names    \* for each trace the name under which each of its values was recorded, by the value's number

VARIABLES
  t,       \* which trace this is
  i        \* which of its moves is the next

\* All that a trace is followed by.
traceVars == <<entry, detached, loads, clients, truth, floor, generation, effects, t, i>>

\* What stands for Never here, where time is as fine as the traces need it; it fits into TLC's integers even twice.
EndOfTime == 1000000000

-----------------------------------------------------------------------------
(* Moves *)

\* A move with its result: the entry after it, and what was ordered. `g` is the flight it is about; `lifetime` what was
\* said of its value, if it has one; `was_evicted` says that it was a move of an evicted entry.
Move(kind, g, lifetime, after, orders, was_evicted) ==
  [kind |-> kind, g |-> g, lifetime |-> lifetime, after |-> after, orders |-> orders, was_evicted |-> was_evicted,
   is_said |-> TRUE]

\* A move of which the trace says nothing; `n` is how much time passed, where that is the move.
Silent(kind, g, n) == [kind |-> kind, g |-> g, n |-> n, is_said |-> FALSE]

\* An owner of durable entries finds this one.
Found(e) == [kind |-> "Found", g |-> e.flight.generation, after |-> e, is_said |-> FALSE]

\* The traces, evaluated once: TLC would do it again for every state.
TheTraces == TLCGet(1)

\* The names, likewise.
TheNames == TLCGet(2)

\* The move that comes next.
This == TheTraces[t][i]

-----------------------------------------------------------------------------
(* Time: so many ticks in one move, where Tick of CacheEntry.tla is one of them *)

\* An instant later on.
NearerBy(instant, n) == IF instant = Never THEN Never ELSE Instant(instant - n)

\* An age later on.
OlderBy(age, n) == Min(age + n, Cap)

\* A flight later on.
LaterFlightBy(f, n) ==
  IF f = NoFlight THEN f ELSE [f EXCEPT !.age = OlderBy(@, n), !.due_at = NearerBy(@, n)]

\* An entry later on.
LaterBy(e, n) ==
  LET f == LaterFlightBy(e.flight, n)
  IN  CASE e.state = "Fresh" ->
             Fresh(e.value, e.lifetime, OlderBy(e.age, n), NearerBy(e.refresh_at, n), NearerBy(e.hit_until, n), f)
        [] e.state = "Stale" ->
             Stale(e.value, OlderBy(e.age, n), NearerBy(e.stale_until, n), NearerBy(e.kept_until, n),
                   NearerBy(e.retry_at, n), f)
        [] OTHER -> [e EXCEPT !.flight = f]

\* Time passes.
Pass(n) ==
  /\ entry' = LaterBy(entry, n)
  /\ detached' = {LaterBy(d, n) : d \in detached}
  /\ effects' = <<>>
  /\ UNCHANGED <<loads, clients, truth, floor, generation>>

\* So many ticks in one move are so many ticks.
PassIsTickInv == LaterBy(entry, 3) = Later(Later(Later(entry)))

-----------------------------------------------------------------------------
(* What differs from the world of CacheEntry.tla *)

\* Somebody who waits for nothing looks the key up: nothing depends on who it is.
SomebodyGets == WaitersOf(0) # {} /\ Get(CHOOSE c \in Clients : c \in WaitersOf(0))

\* Somebody who waits for the flight leaves.
SomebodyLeaves(g) ==
  /\ g # 0 /\ WaitersOf(g) # {}
  /\ \E can_cancel \in CanCancel : WaiterLeft(CHOOSE c \in Clients : c \in WaitersOf(g), can_cancel)

\* Somebody who waits for the flight has waited for soft_timeout.
SomebodyHasWaited(g) ==
  g # 0 /\ WaitersOf(g) # {} /\ SoftTimeoutPassed(CHOOSE c \in Clients : c \in WaitersOf(g))

\* Whoever ran one flight is gone, and its waiters with it; the other flights are not.
FlightIsGone(g) ==
  /\ IF \E d \in detached : d.flight.generation = g
     THEN LET d == CHOOSE x \in detached : x.flight.generation = g
          IN  StepOfDetached(d, Next(WithoutFlight(d), <<>>), {}, WaitersOf(g))
     ELSE StepOfEntry(RestartedStep(Aged(entry)), 0, {}, WaitersOf(g))
  /\ UNCHANGED <<truth, floor>>

\* An owner of durable entries finds another one than its own: what an earlier owner saved, or one that has taken its
\* place meanwhile. Whether it may, Durable.tla says. Who waits for the own flight is answered when that reports.
FoundInStorage(e) ==
  /\ entry' = e
  /\ generation' = Max(generation, e.flight.generation)
  /\ effects' = <<>>
  /\ UNCHANGED <<detached, loads, clients, truth, floor>>

-----------------------------------------------------------------------------
(* Following a trace *)

\* What the trace calls a value; errors have no name.
Name(value) == IF value > 0 THEN TheNames[t][value] ELSE value

\* An entry, in the words of the trace.
NamedEntry(e) == IF HasOutcome(e) THEN [e EXCEPT !.value = Name(@)] ELSE e

\* Orders, in the words of the trace.
NamedOrders(orders) ==
  [k \in DOMAIN orders |->
     IF orders[k].order \in {"Answer", "Settle"} THEN [orders[k] EXCEPT !.outcome.value = Name(@)] ELSE orders[k]]

\* The result of the move is what was recorded of it.
Agrees(move) ==
  /\ NamedOrders(effects') = move.orders
  /\ ~move.was_evicted => NamedEntry(entry') = IF move.after.state = "Evicted" THEN Absent ELSE move.after
  /\ move.after.state = "Evicted" =>
       IF HasFlight(move.after)
       THEN move.after \in detached'
       ELSE \A d \in detached' : d.flight.generation # move.g

\* The move that comes next, and its result.
Follow(move) ==
  /\ \/ move.kind = "Get" /\ SomebodyGets
     \/ move.kind = "Put" /\ (\E age \in Ages : PutOf(move.lifetime, age)) /\ UNCHANGED truth
     \/ move.kind = "Invalidate" /\ Invalidate
     \/ move.kind = "Expire" /\ Expire
     \/ move.kind = "Refresh" /\ Refresh
     \/ move.kind = "Evict" /\ Evict
     \/ move.kind = "LoadReads" /\ LoadReads(move.g)
     \/ move.kind = "LoadSucceeded" /\ \E age \in Ages : LoadGave(move.g, move.lifetime, age)
     \/ move.kind = "LoadFailed" /\ LoadFailed(move.g)
     \/ move.kind = "DeadlinePassed" /\ DeadlinePassed(move.g)
     \/ move.kind = "WaiterLeft" /\ SomebodyLeaves(move.g)
     \/ move.kind = "SoftTimeoutPassed" /\ SomebodyHasWaited(move.g)
     \/ move.kind = "Restarted" /\ Restarted
     \/ move.kind = "FlightIsGone" /\ FlightIsGone(move.g)
     \/ move.kind = "Found" /\ FoundInStorage(move.after)
     \/ move.kind = "TruthChanges" /\ TruthChanges
     \/ move.kind = "Pass" /\ Pass(move.n)
  /\ move.is_said => Agrees(move)

\* One move further.
TraceNext ==
  /\ i <= Len(TheTraces[t])
  /\ Follow(This)
  /\ i' = i + 1
  /\ t' = t

\* All traces from their beginnings.
TraceInit == TLCSet(1, Traces) /\ TLCSet(2, Names) /\ Init /\ t \in 1 .. Len(TheTraces) /\ i = 1

\* All traces.
TraceSpec == TraceInit /\ [][TraceNext]_traceVars

\* Says how far each trace has come: the one whose last move is never reached has departed.
Reached == PrintT(<<"reached", t, i>>)
=============================================================================
