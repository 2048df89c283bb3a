-------------------------------- MODULE Pool --------------------------------
(***************************************************************************)
(* The threads on which loads run: adapters/herdless/_workers.py,          *)
(* _threads_loads.py and core/herdless_core/_turns.py.                     *)
(*                                                                         *)
(* A load needs a turn (`max_loads`). One that somebody waits for has a    *)
(* thread then, the caller's own or one more; a refresh has to find one of *)
(* a few. Loads ask for other keys and wait for them; some hang for ever;  *)
(* and nobody looks at the time of a refresh but those who come by. Each   *)
(* of these can keep all others from being loaded, unless a rule is kept:  *)
(* a configuration without it shows how.                                   *)
(***************************************************************************)
EXTENDS Integers, FiniteSets

CONSTANTS
  NumberOfKeys,        \* how many keys there are; nothing is held of any
  NumberOfCallers,     \* how many callers there are
  MaxLoads,            \* how many loads there may be at a time, those included that hang
  Refreshers,          \* how many refreshes run at once
  Turns,               \* how many loads run at once: max_loads
  Hung,                \* the keys whose loads never end
  Needed,              \* the key that the loads of all others ask for; 0: none
  HasTimeout,          \* whether there is a load_timeout
  CallersOvertake,     \* who needs what is queued has it loaded at once, and does not wait for its thread
  AwaitedNeedNoRoom,   \* a load that somebody waits for is no refresh, and finds a thread at once
  GivenUpGiveRoom,     \* a refresh that was given up is none of the few any more
  NestedNeedNoTurn,    \* a load that is asked for inside of another one begins at once
  CallersTakeTurns,    \* who waits for a turn takes that of a refresh which has not begun
  DeadGiveTheirTurn    \* a load that is over before it has begun gives its turn away

VARIABLES
  loads,    \* all that run, or are to run, by number
  flight,   \* the load of each key, or 0
  callers   \* the load that each caller waits for, or 0

\* All of it.
vars == <<loads, flight, callers>>

-----------------------------------------------------------------------------

\* The keys, by number.
Keys == 1 .. NumberOfKeys

\* The callers, by number.
Callers == 1 .. NumberOfCallers

\* The loads, by number, which is used again.
Loads == 1 .. MaxLoads

\* A load: of which key, where it is ("turn" and "queue" are where it waits), whether it is one that somebody waits for,
\* whether its flight is over, whether its time is, and what it waits for: 0 as long as it has not asked, then a load, then
\* Done.
Load(k, place, is_awaited, asks) ==
  [key |-> k, place |-> place, is_awaited |-> is_awaited, is_over |-> FALSE, is_due |-> FALSE, asks |-> asks]

\* It has asked, and was answered.
Done == -1

\* A number that is free.
None == [Load(0, "none", FALSE, Done) EXCEPT !.is_over = TRUE]

\* The numbers that are free.
Free == {n \in Loads : loads[n] = None}

\* Whether there is a number for one more load. The last ones are kept for loads that are asked for inside of others.
IsRoomFor(is_nested) == Cardinality(Free) > IF is_nested THEN 0 ELSE 2

\* The number of the next load.
NextNumber == CHOOSE n \in Free : \A other \in Free : n <= other

\* Whether a load still has to begin, and may.
IsWaiting(l) == l.place \in {"turn", "queue"} /\ ~l.is_over

\* Those that have a turn.
Holders(all) == {n \in Loads : all[n].place = "run" \/ (all[n].place = "queue" /\ ~(all[n].is_over /\ DeadGiveTheirTurn))}

\* Whether there is a turn to be had.
IsFree(all) == Cardinality(Holders(all)) < Turns

\* The refreshes that are running, of those that count.
Refreshing == {n \in Loads : loads[n].place = "run" /\ ~loads[n].is_awaited /\ ~(loads[n].is_over /\ GivenUpGiveRoom)}

\* Who waits for a load: callers, and other loads.
WaitersOf(n) == {c \in Callers : callers[c] = n} \union {m \in Loads : loads[m].asks = n}

-----------------------------------------------------------------------------
(* Steps that others are made of *)

\* All loads, those that waited for some of them being told.
Told(all, ended) == [n \in Loads |-> IF all[n].asks \in ended THEN [all[n] EXCEPT !.asks = Done] ELSE all[n]]

\* What flights are left, without some.
Left(flights, ended) == [k \in Keys |-> IF flights[k] \in ended THEN 0 ELSE flights[k]]

\* The callers, those who waited for some loads being answered.
Answered(ended) == [c \in Callers |-> IF callers[c] \in ended THEN 0 ELSE callers[c]]

\* The flights of some loads are over, whatever becomes of the loads.
Over(all, ended) == [n \in Loads |-> IF n \in ended THEN [all[n] EXCEPT !.is_over = TRUE] ELSE all[n]]

\* The refreshes whose time is over, which whoever launches another one gives up.
Overdue == {n \in Loads : loads[n].place = "run" /\ ~loads[n].is_awaited /\ loads[n].is_due /\ ~loads[n].is_over}

\* A load that has got its turn: it runs, or waits for a thread.
Begun(l) == [l EXCEPT !.place = IF l.is_awaited /\ AwaitedNeedNoRoom THEN "run" ELSE "queue"]

\* A load that is in need of a turn, with one or without.
WithTurn(all, l, is_nested) == IF IsFree(all) \/ (is_nested /\ NestedNeedNoTurn) THEN Begun(l) ELSE [l EXCEPT !.place = "turn"]

\* What a load asks for first of all.
First(k) == IF Needed \in {0, k} \/ k \in Hung THEN Done ELSE 0

\* The key's flight ends, and the caller's own takes its place: what it had was `before`. It has the turn of that one.
StartFor(k, is_nested, before) ==
  LET n == NextNumber
      all == Over(loads, before)
      new == Load(k, "turn", TRUE, First(k))
      giving == {m \in Loads : all[m].place = "queue" /\ ~all[m].is_awaited /\ ~all[m].is_over}
      begun == WithTurn(all, new, is_nested)
  IN  IF begun.place # "turn" \/ giving = {} \/ ~CallersTakeTurns
      THEN [all EXCEPT ![n] = begun]
      ELSE LET m == CHOOSE m \in giving : TRUE IN [all EXCEPT ![n] = Begun(new), ![m].place = "turn"]

\* Somebody asks for a key: the loads afterwards, the flights, and which load is waited for.
Asked(k, is_nested) ==
  LET f == flight[k]
      starts(before) ==
        [loads |-> Told(StartFor(k, is_nested, before), before),
         flight |-> [Left(flight, before) EXCEPT ![k] = NextNumber], waits_for |-> NextNumber, ended |-> before]
      waits(all) == [loads |-> all, flight |-> flight, waits_for |-> f, ended |-> {}]
  IN  CASE f = 0 -> starts({})
        [] f # 0 /\ loads[f].is_due -> starts({f})
        [] f # 0 /\ ~loads[f].is_due /\ loads[f].place # "run" /\ ~loads[f].is_awaited /\ CallersOvertake -> starts({f})
        [] f # 0 /\ loads[f].place = "turn" /\ is_nested /\ NestedNeedNoTurn -> waits([loads EXCEPT ![f] = Begun(@)])
        [] OTHER -> waits(loads)

\* Whether that would start a load.
Starts(k) ==
  flight[k] = 0 \/ loads[flight[k]].is_due
  \/ (loads[flight[k]].place # "run" /\ ~loads[flight[k]].is_awaited /\ CallersOvertake)

-----------------------------------------------------------------------------
(* What happens *)

\* A caller looks a key up.
Get(c, k) ==
  /\ callers[c] = 0
  /\ Starts(k) => IsRoomFor(FALSE)
  /\ LET asked == Asked(k, FALSE)
     IN  /\ loads' = asked.loads
         /\ flight' = asked.flight
         /\ callers' = [Answered(asked.ended) EXCEPT ![c] = asked.waits_for]

\* A load asks for the key that it needs.
LoadAsks(n) ==
  /\ loads[n].place = "run" /\ loads[n].asks = 0
  /\ Starts(Needed) => IsRoomFor(TRUE)
  /\ LET asked == Asked(Needed, TRUE)
     IN  /\ loads' = [asked.loads EXCEPT ![n].asks = asked.waits_for]
         /\ flight' = asked.flight
         /\ callers' = Answered(asked.ended)

\* Somebody wants a key loaded, and does not wait for it. Who launches it gives up those whose time is over.
Refresh(k) ==
  /\ flight[k] = 0 /\ IsRoomFor(FALSE)
  /\ LET n == NextNumber
         new == WithTurn(loads, Load(k, "turn", FALSE, First(k)), FALSE)
         ended == IF new.place = "queue" THEN Overdue ELSE {}
     IN  /\ loads' = [Told(Over(loads, ended), ended) EXCEPT ![n] = new]
         /\ flight' = [Left(flight, ended) EXCEPT ![k] = n]
         /\ callers' = Answered(ended)

\* A turn is free, and goes to the first that waits for one: one that is awaited, if there is any.
TurnIsGiven(n) ==
  /\ loads[n].place = "turn" /\ ~loads[n].is_over /\ IsFree(loads)
  /\ loads[n].is_awaited \/ ~\E m \in Loads : IsWaiting(loads[m]) /\ loads[m].place = "turn" /\ loads[m].is_awaited
  /\ LET ended == IF loads[n].is_awaited THEN {} ELSE Overdue
     IN  /\ loads' = [Told(Over(loads, ended), ended) EXCEPT ![n] = Begun(@)]
         /\ flight' = Left(flight, ended)
         /\ callers' = Answered(ended)

\* A thread takes up what is queued, if it is not over; else it is dropped.
ThreadTakes(n) ==
  /\ loads[n].place = "queue"
  /\ (loads[n].is_awaited /\ AwaitedNeedNoRoom) \/ Cardinality(Refreshing) < Refreshers
  /\ loads' = [loads EXCEPT ![n] = IF @.is_over THEN None ELSE [@ EXCEPT !.place = "run"]]
  /\ UNCHANGED <<flight, callers>>

\* What is over before it had a turn is forgotten.
Forgotten(n) ==
  /\ loads[n].place = "turn" /\ loads[n].is_over
  /\ loads' = [loads EXCEPT ![n] = None]
  /\ UNCHANGED <<flight, callers>>

\* A load ends, and all who wait for it are told.
LoadEnds(n) ==
  /\ loads[n].place = "run" /\ loads[n].asks = Done /\ loads[n].key \notin Hung
  /\ loads' = [Told(loads, {n}) EXCEPT ![n] = None]
  /\ flight' = Left(flight, {n})
  /\ callers' = Answered({n})

\* Somebody puts the value, or removes it: a load that has not begun is not wanted any more.
Superseded(k) ==
  /\ flight[k] # 0 /\ IsWaiting(loads[flight[k]]) /\ WaitersOf(flight[k]) = {}
  /\ loads' = Over(loads, {flight[k]})
  /\ flight' = Left(flight, {flight[k]})
  /\ UNCHANGED callers

\* The time of all loads there are is over.
TimePasses ==
  /\ HasTimeout
  /\ loads' = [n \in Loads |-> IF loads[n] = None THEN None ELSE [loads[n] EXCEPT !.is_due = TRUE]]
  /\ UNCHANGED <<flight, callers>>

\* Who waits for a load sees that its time is over.
DeadlinePassed(n) ==
  /\ loads[n].is_due /\ ~loads[n].is_over /\ WaitersOf(n) # {}
  /\ loads' = Told(Over(loads, {n}), {n})
  /\ flight' = Left(flight, {n})
  /\ callers' = Answered({n})

\* Nothing is known, and nothing runs.
Init ==
  /\ loads = [n \in Loads |-> None]
  /\ flight = [k \in Keys |-> 0]
  /\ callers = [c \in Callers |-> 0]

\* What can happen.
Next ==
  \/ \E c \in Callers, k \in Keys : Get(c, k)
  \/ \E k \in Keys : Refresh(k)
  \/ \E k \in Keys : Superseded(k)
  \/ \E n \in Loads : LoadAsks(n)
  \/ \E n \in Loads : TurnIsGiven(n)
  \/ \E n \in Loads : ThreadTakes(n)
  \/ \E n \in Loads : Forgotten(n)
  \/ \E n \in Loads : LoadEnds(n)
  \/ \E n \in Loads : DeadlinePassed(n)
  \/ TimePasses

\* The pool; nothing need ever happen.
Spec == Init /\ [][Next]_vars

\* Whatever can go on does, but for callers, who need not come, and loads that hang. Turns and threads are given in the order
\* in which they are waited for, so that nobody is passed by for ever.
SpecWhereAllGoOn ==
  /\ Spec
  /\ WF_vars(TimePasses)
  /\ \A n \in Loads :
       /\ WF_vars(LoadAsks(n)) /\ WF_vars(Forgotten(n)) /\ WF_vars(LoadEnds(n)) /\ WF_vars(DeadlinePassed(n))
       /\ SF_vars(TurnIsGiven(n)) /\ SF_vars(ThreadTakes(n))

-----------------------------------------------------------------------------
(* What it promises *)

\* Never more refreshes run than there are threads for them, those not counted that were given up.
RoomInv == Cardinality(Refreshing) <= Refreshers

\* Never more loads run than there are turns, those not counted that others wait for, which have asked for them.
TurnsInv == Cardinality({n \in Loads : loads[n].place = "run" /\ loads[n].key # Needed}) <= Turns

\* A turn is nobody's who will never run.
TurnsAreUsedInv == \A n \in Holders(loads) : loads[n].place = "run" \/ ~loads[n].is_over

\* A refresh that was given up takes nobody's thread.
RoomIsUsedInv ==
  \A n \in Loads :
    loads[n].place = "queue" /\ Cardinality({m \in Refreshing : ~loads[m].is_over}) < Refreshers => ENABLED ThreadTakes(n)

\* Something goes on without anybody coming by.
GoesOn ==
  \/ \E n \in Loads : ENABLED (LoadAsks(n) \/ TurnIsGiven(n) \/ ThreadTakes(n) \/ Forgotten(n) \/ LoadEnds(n) \/ DeadlinePassed(n))
  \/ HasTimeout /\ \E n \in Loads : loads[n] # None /\ ~loads[n].is_due

\* EveryGetAnswered, as seen in a state: where nothing goes on any more nobody waits, but for what hangs.
NobodyIsStuckInv == GoesOn \/ \A c \in Callers : callers[c] = 0 \/ (~HasTimeout /\ loads[callers[c]].key \in Hung)

\* StaleIsRefreshed, likewise, where fewer keys hang than there are threads.
NothingIsLeftInv ==
  GoesOn \/ Cardinality(Hung) >= Refreshers \/ \A n \in Loads : loads[n].place = "none" \/ loads[n].key \in Hung

\* EveryGetAnswered: whoever waits for a key that does not hang, or has a deadline, waits no more in the end.
EveryGetAnsweredLive ==
  \A c \in Callers : callers[c] # 0 /\ (HasTimeout \/ loads[callers[c]].key \notin Hung) ~> callers[c] = 0

\* StaleIsRefreshed: a refresh of a key that does not hang comes to its end, where fewer keys hang than there are threads.
StaleIsRefreshedLive ==
  \A n \in Loads :
    loads[n].place # "none" /\ loads[n].key \notin Hung /\ Cardinality(Hung) < Refreshers ~> loads[n].place = "none"

-----------------------------------------------------------------------------
(* What must be possible: TLC has to refute these *)

\* A refresh runs and waits for a key of which the refresh is queued behind it, or was.
NeverANestedOvertaking ==
  ~(\E n, m \in Loads : /\ loads[n].place = "run" /\ ~loads[n].is_awaited /\ loads[n].asks > 0
                        /\ loads[m].place = "queue" /\ loads[m].is_over /\ loads[m].key = loads[loads[n].asks].key)

\* More loads run than there are turns.
NeverMoreThanTurns == Cardinality({n \in Loads : loads[n].place = "run"}) <= Turns

\* A refresh is queued behind as many that hang as there are threads.
NeverAFullPool ==
  ~(\E n \in Loads : /\ loads[n].place = "queue" /\ ~loads[n].is_over
                     /\ Cardinality({m \in Refreshing : loads[m].key \in Hung}) = Refreshers)
=============================================================================
