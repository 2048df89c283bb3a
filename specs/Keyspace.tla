------------------------------ MODULE Keyspace ------------------------------
(***************************************************************************)
(* What spans keys: generations, and room. Of an entry only that is left   *)
(* which matters here: whether it holds a value, which flight it has, and  *)
(* how many wait for it. CacheEntry.tla has the rest.                      *)
(*                                                                         *)
(* Which victim S3-FIFO takes is its own affair: any that may go.          *)
(***************************************************************************)
EXTENDS Integers, FiniteSets

CONSTANTS
  NumberOfKeys,   \* how many keys there are
  MaxGeneration,  \* how many flights there may be in all
  MaxSize,        \* how many values may be held
  MaxWaiters      \* how many callers may wait for a flight

VARIABLES
  entries,     \* the entry of each key
  generation,  \* the last generation that was used, by any key
  running,     \* the loads in the air, each with its key
  started      \* every load that was ever started: only looked at, never used

\* All of it.
vars == <<entries, generation, running, started>>

-----------------------------------------------------------------------------

\* The keys, by number.
Keys == 1 .. NumberOfKeys

\* An entry: whether it holds a value, its flight or 0, and how many wait for that.
Entry(holds, flight, waiters) == [holds |-> holds, flight |-> flight, waiters |-> waiters]

\* Nothing is known of a key.
Absent == Entry(FALSE, 0, 0)

\* The keys that hold a value.
Held(e) == {k \in Keys : e[k].holds}

\* The keys that may go: they hold a value and nobody waits for their flight.
Victims(e) == {k \in Held(e) : e[k].waiters = 0}

\* A load for a key.
Load(k, g) == [key |-> k, generation |-> g]

\* A flight starts, for a caller or behind a value, with the next generation of the whole keyspace.
Start(k) ==
  /\ entries[k].flight = 0
  /\ generation < MaxGeneration
  /\ generation' = generation + 1
  /\ \E waiters \in {0, 1} :
       entries' = [entries EXCEPT ![k] = Entry(entries[k].holds, generation + 1, waiters)]
  /\ running' = running \union {Load(k, generation + 1)}
  /\ started' = started \union {Load(k, generation + 1)}

\* One more caller waits.
Join(k) ==
  /\ entries[k].flight # 0
  /\ entries[k].waiters < MaxWaiters
  /\ entries' = [entries EXCEPT ![k].waiters = @ + 1]
  /\ UNCHANGED <<generation, running, started>>

\* One less waits; the last one takes along a load that nobody has use for.
Leave(k) ==
  /\ entries[k].waiters > 0
  /\ entries' = [entries EXCEPT ![k] =
       IF @.waiters = 1 /\ ~@.holds THEN Absent ELSE Entry(@.holds, @.flight, @.waiters - 1)]
  /\ UNCHANGED <<generation, running, started>>

\* The entries once one more key holds a value: in free room, in a victim's place, or, where there is none, not at all.
Admitted(k) ==
  LET without == [entries EXCEPT ![k] = Absent]
      with(e) == [e EXCEPT ![k] = Entry(TRUE, 0, 0)]
  IN  IF entries[k].holds \/ Cardinality(Held(entries)) < MaxSize
      THEN {with(entries)}
      ELSE IF Victims(entries) = {} \/ MaxSize = 0
           THEN {without}
           ELSE {with([entries EXCEPT ![victim] = Absent]) : victim \in Victims(entries)}

\* A load ends well: stored if it is the key's own, else dropped.
Succeed(l) ==
  /\ l \in running
  /\ running' = running \ {l}
  /\ entries' \in IF entries[l.key].flight = l.generation THEN Admitted(l.key) ELSE {entries}
  /\ UNCHANGED <<generation, started>>

\* A load ends badly: the flight is gone, a value stays.
Fail(l) ==
  /\ l \in running
  /\ running' = running \ {l}
  /\ entries' = IF entries[l.key].flight = l.generation
                THEN [entries EXCEPT ![l.key] = Entry(@.holds, 0, 0)] ELSE entries
  /\ UNCHANGED <<generation, started>>

\* Somebody gives the value.
Put(k) == entries' \in Admitted(k) /\ UNCHANGED <<generation, running, started>>

\* Somebody knows the value to be wrong. The flight's waiters are answered apart (CacheEntry.tla); its load runs on.
Invalidate(k) == entries' = [entries EXCEPT ![k] = Absent] /\ UNCHANGED <<generation, running, started>>

\* The owner restarts: flights are gone, values and the generation stay. Loads may outlive it.
Restart ==
  /\ entries' = [k \in Keys |-> Entry(entries[k].holds, 0, 0)]
  /\ UNCHANGED <<generation, running, started>>

\* Nothing is known.
Init ==
  /\ entries = [k \in Keys |-> Absent]
  /\ generation = 0
  /\ running = {}
  /\ started = {}

\* The loads there can be.
Loads == {Load(k, g) : k \in Keys, g \in 1 .. MaxGeneration}

\* What can happen.
Next ==
  \/ \E k \in Keys : Start(k)
  \/ \E k \in Keys : Join(k)
  \/ \E k \in Keys : Leave(k)
  \/ \E l \in Loads : Succeed(l)
  \/ \E l \in Loads : Fail(l)
  \/ \E k \in Keys : Put(k)
  \/ \E k \in Keys : Invalidate(k)
  \/ Restart

\* The keyspace; nothing need ever happen.
Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* What it promises *)

\* Bounded: never more than maxsize values.
BoundedInv == Cardinality(Held(entries)) <= MaxSize

\* GenerationMonotone: no two loads of the cache ever have the same generation, whatever was evicted or restarted.
GenerationsNeverRepeatInv == \A l, other \in started : l.generation = other.generation => l = other

\* SingleFlight, as seen across keys: an attached flight is the key's own load, and still in the air.
OwnFlightInv == \A k \in Keys : entries[k].flight # 0 => Load(k, entries[k].flight) \in running

\* PendingIsNoVictim: when a key gets a value, no other key for whose flight somebody waits loses anything.
PendingIsNoVictimProp ==
  [][ \A k \in Keys : Held(entries') \ Held(entries) = {k}
        => \A other \in Keys \ {k} : entries[other].waiters > 0 => entries'[other] = entries[other] ]_vars

\* At most one victim goes for each value that comes.
OneForOneProp ==
  [][ Held(entries') \ Held(entries) # {} => Cardinality(Held(entries) \ Held(entries')) <= 1 ]_vars

-----------------------------------------------------------------------------
(* What must be possible: TLC has to refute these *)

\* A value goes for want of room.
NeverAVictim == Cardinality(Held(entries)) < MaxSize \/ Cardinality(started) < 2

\* A value is not kept, since callers wait for all the others.
NeverAHeldRoom == ~(Victims(entries) = {} /\ Cardinality(Held(entries)) = MaxSize /\ \E k \in Keys : ~entries[k].holds /\ entries[k].flight # 0)

\* A load whose key has another flight by now.
NeverASupersededLoad == \A l \in running : entries[l.key].flight \in {0, l.generation}
=============================================================================
