-------------------------------- MODULE Tags --------------------------------
(***************************************************************************)
(* One tag across keys: values that have it are invalidated together, also *)
(* those which are still being loaded, of which nobody knows whether they  *)
(* will have it. Of an entry only that is left which matters here.         *)
(*                                                                         *)
(* What is cached changes just before each invalidation of the tag, so the *)
(* number of the last one says how old a reading is. A load reads when it  *)
(* starts, which is the worst that it can do.                              *)
(***************************************************************************)
EXTENDS Integers, Sequences

CONSTANTS
  NumberOfKeys,    \* how many keys there are
  MaxGeneration,   \* how many flights there may be in all
  MaxInvalidations, \* how often the tag may be invalidated
  ValidFromStart,  \* whether a load must have started after the last invalidation, and not only ended
  TellsApart       \* whether callers who joined after the invalidation are kept from an outdated value

VARIABLES
  entries,     \* the entry of each key
  generation,  \* the last generation that was used, by any key
  running,     \* the loads in the air, each with its key and what it has read
  marks,       \* of each invalidation the last generation at that moment
  waiting,     \* the callers who wait: for which flight, and after how many invalidations they asked
  told         \* what the last step told, and to whom: only looked at, never used

\* All of it.
vars == <<entries, generation, running, marks, waiting, told>>

-----------------------------------------------------------------------------

\* The keys, by number.
Keys == 1 .. NumberOfKeys

\* How often the tag was invalidated.
Now == Len(marks)

\* An entry: whether it holds a value, when that was read, whether it has the tag, and the flight or 0.
Entry(holds, read, tagged, flight) == [holds |-> holds, read |-> read, tagged |-> tagged, flight |-> flight]

\* Nothing is known of a key.
Absent == Entry(FALSE, 0, FALSE, 0)

\* A load for a key.
Load(k, g, read) == [key |-> k, generation |-> g, read |-> read]

\* A caller who waits for a flight.
Waiter(g, asked) == [generation |-> g, asked |-> asked]

\* What a caller is told.
Telling(asked, read, tagged) == [asked |-> asked, read |-> read, tagged |-> tagged]

\* The invalidations since a flight began.
Since(g) == {n \in 1 .. Now : marks[n] >= g}

\* Whether a value with the tag is outdated when its load ends.
IsOutdated(g) == ValidFromStart /\ Since(g) # {}

\* The callers who wait for a flight.
WaitersOf(g) == {w \in waiting : w.generation = g}

\* Those of them who joined before it was outdated.
Early(g) == {w \in WaitersOf(g) : ~TellsApart \/ \A n \in Since(g) : w.asked < n}

-----------------------------------------------------------------------------

\* A caller asks, and is answered with what is held.
Hit(k) ==
  /\ entries[k].holds
  /\ told' = {Telling(Now, entries[k].read, entries[k].tagged)}
  /\ UNCHANGED <<entries, generation, running, marks, waiting>>

\* A flight starts: for a caller who asks, or behind a value.
Start(k) ==
  /\ entries[k].flight = 0
  /\ generation < MaxGeneration
  /\ generation' = generation + 1
  /\ entries' = [entries EXCEPT ![k].flight = generation + 1]
  /\ running' = running \union {Load(k, generation + 1, Now)}
  /\ waiting' \in {waiting, waiting \union {Waiter(generation + 1, Now)}}
  /\ told' = {}
  /\ UNCHANGED marks

\* A caller asks, and waits for the flight that is there.
Join(k) ==
  /\ entries[k].flight # 0
  /\ waiting' = waiting \union {Waiter(entries[k].flight, Now)}
  /\ told' = {}
  /\ UNCHANGED <<entries, generation, running, marks>>

\* A caller leaves.
Leave(w) ==
  /\ waiting' = waiting \ {w}
  /\ told' = {}
  /\ UNCHANGED <<entries, generation, running, marks>>

\* The tag is invalidated: every value that has it goes, and what is being loaded in its place.
InvalidateTag ==
  /\ Now < MaxInvalidations
  /\ marks' = Append(marks, generation)
  /\ entries' = [k \in Keys |-> IF entries[k].holds /\ entries[k].tagged THEN Absent ELSE entries[k]]
  /\ told' = {}
  /\ UNCHANGED <<generation, running, waiting>>

\* A key is invalidated. Its flight goes on for those who wait for it.
Invalidate(k) ==
  /\ entries' = [entries EXCEPT ![k] = Absent]
  /\ told' = {}
  /\ UNCHANGED <<generation, running, marks, waiting>>

\* A load ends well, and it turns out whether the value has the tag. Who joined too late looks again.
Succeed(l, tagged) ==
  LET outdated == tagged /\ IsOutdated(l.generation)
      answered == IF outdated THEN Early(l.generation) ELSE WaitersOf(l.generation)
      own == entries[l.key].flight = l.generation
  IN  /\ running' = running \ {l}
      /\ waiting' = waiting \ WaitersOf(l.generation)
      /\ told' = {Telling(w.asked, l.read, tagged) : w \in answered}
      /\ entries' = CASE ~own -> entries
                      [] own /\ outdated -> [entries EXCEPT ![l.key].flight = 0]
                      [] OTHER -> [entries EXCEPT ![l.key] = Entry(TRUE, l.read, tagged, 0)]
      /\ UNCHANGED <<generation, marks>>

\* A load ends badly: a value stays.
Fail(l) ==
  /\ running' = running \ {l}
  /\ waiting' = waiting \ WaitersOf(l.generation)
  /\ told' = {}
  /\ entries' = IF entries[l.key].flight = l.generation THEN [entries EXCEPT ![l.key].flight = 0] ELSE entries
  /\ UNCHANGED <<generation, marks>>

\* Somebody gives the value, which is as new as can be; who waits gets it.
Put(k, tagged) ==
  /\ entries' = [entries EXCEPT ![k] = Entry(TRUE, Now, tagged, 0)]
  /\ waiting' = {w \in waiting : entries[k].flight = 0 \/ w.generation # entries[k].flight}
  /\ told' = {Telling(w.asked, Now, tagged) : w \in waiting \ waiting'}
  /\ UNCHANGED <<generation, running, marks>>

\* Nothing is known.
Init ==
  /\ entries = [k \in Keys |-> Absent]
  /\ generation = 0
  /\ running = {}
  /\ marks = <<>>
  /\ waiting = {}
  /\ told = {}

\* What can happen.
Next ==
  \/ \E k \in Keys : Hit(k)
  \/ \E k \in Keys : Start(k)
  \/ \E k \in Keys : Join(k)
  \/ \E w \in waiting : Leave(w)
  \/ InvalidateTag
  \/ \E k \in Keys : Invalidate(k)
  \/ \E l \in running, tagged \in BOOLEAN : Succeed(l, tagged)
  \/ \E l \in running : Fail(l)
  \/ \E k \in Keys, tagged \in BOOLEAN : Put(k, tagged)

\* One tag; nothing need ever happen.
Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* What it promises *)

\* TagsInvalidate: who asks after an invalidation is never told a value with the tag that was read before it, and none is held.
TagsInvalidateInv ==
  /\ \A t \in told : t.tagged => t.read >= t.asked
  /\ \A k \in Keys : entries[k].holds /\ entries[k].tagged => entries[k].read = Now

\* Whoever asked before is told what the load brings, outdated or not: nobody waits for another one.
EarlyAreToldProp ==
  [][ \A l \in running : running' = running \ {l} /\ told' # {} =>
        \A w \in WaitersOf(l.generation) :
          (\A n \in Since(l.generation) : w.asked < n) => \E t \in told' : t.asked = w.asked ]_vars

-----------------------------------------------------------------------------
(* What must be possible: TLC has to refute these *)

\* A caller waits for a flight that began before an invalidation after which it asked.
NeverALateCaller == \A w \in waiting : Early(w.generation) = WaitersOf(w.generation)

\* A value without the tag is stored, although its load began before an invalidation.
NeverASparedValue == \A k \in Keys : entries[k].holds => entries[k].read = Now

\* A value that has not the tag is kept, while its refresh turns out to be outdated.
NeverAnOutdatedRefresh == \A l \in running : ~(entries[l.key].holds /\ entries[l.key].flight = l.generation /\ Since(l.generation) # {})
=============================================================================
