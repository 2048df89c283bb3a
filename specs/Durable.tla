------------------------------- MODULE Durable -------------------------------
(***************************************************************************)
(* One key whose owner keeps it in storage and may die at any moment, while *)
(* a load it started lives on and reports to whoever owns the key by then. *)
(*                                                                         *)
(* Writes are queued and reach the storage in their order, each when it    *)
(* likes; a crash loses those on their way. Three rules say which of them  *)
(* must have reached it BEFORE what. With all three, what is promised      *)
(* holds; a configuration without each of them shows what goes wrong.      *)
(***************************************************************************)
EXTENDS Integers, Sequences

CONSTANTS
  MaxGeneration,           \* how many flights an owner may start
  MaxTruth,                \* how many values the truth takes
  MaxCrashes,              \* how often owners die
  MaxQueue,                \* how many writes may be on their way
  GenerationIsDurable,     \* the generation reaches the storage BEFORE its load starts
  InvalidationIsDurable,   \* an invalidation, and a put, BEFORE it returns
  WritesKeepTheirOrder     \* an invalidation does not overtake the writes before it

VARIABLES
  value,       \* what the owner holds; 0 is nothing
  flight,      \* the generation of the flight it has; 0 is none
  generation,  \* the last generation it used
  storage,     \* what would be restored: value and generation
  queue,       \* writes on their way
  loads,       \* loads in the air, by their generation
  truth,       \* what a load reads now
  floor,       \* the truth when an invalidation last returned
  crashes      \* how many owners died

\* All of it.
vars == <<value, flight, generation, storage, queue, loads, truth, floor, crashes>>

-----------------------------------------------------------------------------

\* A load, what it read, and which it is: two may wrongly have the same generation.
Load(g, read, number) == [generation |-> g, read |-> read, number |-> number]

\* A write to a field of the storage.
Write(name, to) == [name |-> name, to |-> to]

\* The storage after some writes, the first one first.
RECURSIVE Written(_, _)
Written(stored, writes) ==
  IF writes = <<>> THEN stored ELSE Written([stored EXCEPT ![Head(writes).name] = Head(writes).to], Tail(writes))

\* A write that may lag.
WriteLater(write) ==
  /\ Len(queue) < MaxQueue
  /\ queue' = Append(queue, write)
  /\ UNCHANGED storage

\* A write that has reached the storage when the step ends, and with it, if order is kept, all before it.
WriteNow(write) ==
  IF WritesKeepTheirOrder
  THEN queue' = <<>> /\ storage' = Written(storage, Append(queue, write))
  ELSE queue' = queue /\ storage' = Written(storage, <<write>>)

\* A flight starts.
Start ==
  /\ flight = 0 /\ generation < MaxGeneration
  /\ generation' = generation + 1
  /\ flight' = generation + 1
  /\ loads' = loads \union {Load(generation + 1, 0, crashes)}
  /\ LET write == Write("generation", generation + 1)
     IN  IF GenerationIsDurable THEN WriteNow(write) ELSE WriteLater(write)
  /\ UNCHANGED <<value, truth, floor, crashes>>

\* A load reads the truth.
LoadReads(l) ==
  /\ l.read = 0
  /\ loads' = (loads \ {l}) \union {[l EXCEPT !.read = truth]}
  /\ UNCHANGED <<value, flight, generation, storage, queue, truth, floor, crashes>>

\* A load ends, and reports to the owner there is now. Storing its result may lag.
LoadSucceeded(l) ==
  /\ l.read # 0
  /\ loads' = loads \ {l}
  /\ IF l.generation = flight
     THEN value' = l.read /\ flight' = 0 /\ WriteLater(Write("value", l.read))
     ELSE UNCHANGED <<value, flight, storage, queue>>
  /\ UNCHANGED <<generation, truth, floor, crashes>>

\* Somebody invalidates the key, and is told so.
Invalidate ==
  /\ value' = 0
  /\ flight' = 0
  /\ floor' = truth
  /\ IF InvalidationIsDurable THEN WriteNow(Write("value", 0)) ELSE WriteLater(Write("value", 0))
  /\ UNCHANGED <<generation, loads, truth, crashes>>

\* The value goes for want of room; forgetting it may lag.
Evict ==
  /\ value # 0 /\ flight = 0
  /\ value' = 0
  /\ WriteLater(Write("value", 0))
  /\ UNCHANGED <<flight, generation, loads, truth, floor, crashes>>

\* A write reaches the storage.
Flush ==
  /\ queue # <<>>
  /\ storage' = Written(storage, <<Head(queue)>>)
  /\ queue' = Tail(queue)
  /\ UNCHANGED <<value, flight, generation, loads, truth, floor, crashes>>

\* The owner dies; the next one restores what is stored. The loads live on.
Crash ==
  /\ crashes < MaxCrashes
  /\ crashes' = crashes + 1
  /\ value' = storage.value
  /\ generation' = storage.generation
  /\ flight' = 0
  /\ queue' = <<>>
  /\ UNCHANGED <<storage, loads, truth, floor>>

\* What is true changes.
TruthChanges ==
  /\ truth < MaxTruth
  /\ truth' = truth + 1
  /\ UNCHANGED <<value, flight, generation, storage, queue, loads, floor, crashes>>

\* Nothing is known, and nothing stored.
Init ==
  /\ value = 0
  /\ flight = 0
  /\ generation = 0
  /\ storage = [value |-> 0, generation |-> 0]
  /\ queue = <<>>
  /\ loads = {}
  /\ truth = 1
  /\ floor = 1
  /\ crashes = 0

\* What can happen.
Next ==
  \/ Start
  \/ \E l \in loads : LoadReads(l)
  \/ \E l \in loads : LoadSucceeded(l)
  \/ Invalidate
  \/ Evict
  \/ Flush
  \/ Crash
  \/ TruthChanges

\* The key and its owners; nothing need ever happen.
Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------

\* NoStaleRead, across owners: what is served was not read before an invalidation that had returned.
NoStaleReadInv == value # 0 => value >= floor

\* NoStaleSet, across owners: no two loads in the air have one generation, so none is taken for another.
NoStaleSetInv == \A l, other \in loads : l.generation = other.generation => l = other

\* TLC has to refute this one: a load outlives its owner while the next owner's is under way.
NeverTwoOwnersLoads == ~(\E l \in loads : l.number < crashes /\ flight # 0)
=============================================================================
