------------------------------- MODULE Durable -------------------------------
(***************************************************************************)
(* One key whose object keeps it in storage: adapters/herdless/_durable.   *)
(*                                                                         *)
(* The platform may kill the object's instance, or start another one while *)
(* the old one is still alive: then that one gets no more requests, but    *)
(* its loads run on and report to it, and to nobody else. So before each   *)
(* step an instance compares the generation that is stored with the one    *)
(* that it claimed last; where they differ it was replaced, and adopts     *)
(* what is stored.                                                         *)
(*                                                                         *)
(* Writes reach the disk in their order, each when it likes, and a crash   *)
(* loses those on their way; instances read what was written, whether it   *)
(* is on the disk or not. What nobody needs any more is freed, the claimed *)
(* generation with it, and one alarm sees to it that this happens. Readers *)
(* are other objects, which keep what the owner has lent them.             *)
(*                                                                         *)
(* Each of the rules below is one that the code keeps; a configuration     *)
(* without it shows what goes wrong. The first one alone could go: a load  *)
(* reports to nobody but its own instance, and generations follow the time *)
(* (which takes no instance to start in less than a millisecond).          *)
(***************************************************************************)
EXTENDS Integers, Sequences, FiniteSets

CONSTANTS
  MaxGeneration,           \* how many flights an instance may start
  MaxTruth,                \* how many values the truth takes
  MaxInstances,            \* how many instances there may be, one after the other
  MaxQueue,                \* how many writes may be on their way
  NumberOfReaders,         \* how many readers there are
  GenerationIsDurable,     \* the generation reaches the disk BEFORE its load starts: more than the promises need here
  InvalidationIsDurable,   \* an invalidation BEFORE it returns
  WritesKeepTheirOrder,    \* an invalidation does not overtake the writes before it
  InstancesLookFirst,      \* an instance looks before each step whether it was replaced
  PutsClaim,               \* a put claims a generation, as a load does
  GenerationsFollowTime,   \* a generation is at least the time, so that none is used again when the storage was freed
  LoadsSetTheAlarm,        \* the alarm is set while a load runs, lest what it claimed stays when its instance dies
  AlarmsAreAdopted,        \* who was replaced knows nothing of the alarm any more
  OwnerIsFirst,            \* an invalidation is told the owner BEFORE its readers
  ReadersAreTold           \* it is told them at all

VARIABLES
  instances,   \* what each instance knows, by its number
  newest,      \* the number of the instance that gets the requests
  disk,        \* what survives a crash: value, generation, alarm
  queue,       \* writes on their way to it
  loads,       \* loads in the air
  readers,     \* what each reader holds and waits for
  untold,      \* who is to be told of an invalidation, or a put, that has not returned: the owner is 0
  told_at,     \* the truth when the owner was told of it
  truth,       \* what a load reads now
  floor        \* the truth as of the last invalidation, or put, that has returned

\* All of it.
vars == <<instances, newest, disk, queue, loads, readers, untold, told_at, truth, floor>>

-----------------------------------------------------------------------------
(* What there is *)

\* The instances, by number.
Instances == 1 .. MaxInstances

\* The readers, by number; the owner is 0.
Readers == 1 .. NumberOfReaders

\* The larger of two numbers.
Max(a, b) == IF a > b THEN a ELSE b

\* What an instance knows: its value, its flight, the generation that it claimed last and the last one that it has seen,
\* whether it knows the alarm to be set, and since when it lives. 0 is nothing.
Instance(value, flight, claimed, seen, armed, since) ==
  [value |-> value, flight |-> flight, claimed |-> claimed, seen |-> seen, armed |-> armed, since |-> since]

\* One that is not there, or not any more.
Nobody == Instance(0, 0, 0, 0, FALSE, 0)

\* What is stored.
Stored(value, generation, alarm) == [value |-> value, generation |-> generation, alarm |-> alarm]

\* Nothing is.
Freed == Stored(0, 0, FALSE)

\* A load of an instance, and what it has read.
Load(i, g, read) == [owner |-> i, generation |-> g, read |-> read]

\* What a reader holds, and what it will be lent: Asked before it is known, 0 where it waits for nothing.
Reader(value, lent) == [value |-> value, lent |-> lent]

\* A reader has asked.
Asked == -1

-----------------------------------------------------------------------------
(* Storage *)

\* What all instances read: what was written last.
View == IF queue = <<>> THEN disk ELSE queue[Len(queue)]

\* A write that may lag.
WriteLater(stored) == Len(queue) < MaxQueue /\ queue' = Append(queue, stored) /\ UNCHANGED disk

\* One that is on the disk when its step ends, and all before it.
WriteNow(stored) ==
  /\ disk' = stored
  /\ queue' = IF WritesKeepTheirOrder THEN <<>> ELSE queue

\* One that is on the disk when its step ends if the rule is kept.
Write(is_now, stored) == IF is_now THEN WriteNow(stored) ELSE WriteLater(stored)

-----------------------------------------------------------------------------
(* The instance that gets the requests, and those that were replaced *)

\* An instance at its next step: as it was, or with what is stored if that is not its own.
Looking(i) ==
  LET me == instances[i]
      armed == me.armed /\ ~AlarmsAreAdopted
  IN  IF ~InstancesLookFirst \/ View.generation = me.claimed
      THEN me
      ELSE Instance(View.value, 0, View.generation, Max(me.seen, View.generation), armed, me.since)

\* Whether an instance lives.
IsAlive(i) == instances[i] # Nobody

\* The generation that it would claim next.
NextGeneration(me) == Max(me.seen + 1, IF GenerationsFollowTime THEN me.since ELSE 0)

\* The largest generation that was ever used, by those who live or what is stored.
Latest ==
  LET known == {instances[i].seen : i \in Instances} \union {instances[i].since - 1 : i \in Instances} \union {View.generation}
  IN  CHOOSE g \in known : \A other \in known : other <= g

\* When the next instance begins: it takes longer to start than the generations can be ahead of the time.
Later == Latest + 1

\* The alarm after a step that sets it, of one who knows whether it is set already.
Alarm(me, sets) == View.alarm \/ (sets /\ ~me.armed)

\* A step of an instance, which leaves this of it.
StepOf(i, me) == instances' = [instances EXCEPT ![i] = me]

\* A flight starts in the instance that is asked.
Start ==
  LET me == Looking(newest)
      g == NextGeneration(me)
  IN  /\ IsAlive(newest) /\ me.flight = 0 /\ g <= MaxGeneration
      /\ StepOf(newest, Instance(me.value, g, g, g, me.armed \/ LoadsSetTheAlarm, me.since))
      /\ loads' = loads \union {Load(newest, g, 0)}
      /\ Write(GenerationIsDurable, Stored(View.value, g, Alarm(me, LoadsSetTheAlarm)))
      /\ UNCHANGED <<newest, readers, untold, told_at, truth, floor>>

\* A load reads the truth.
LoadReads(l) ==
  /\ l.read = 0
  /\ loads' = (loads \ {l}) \union {[l EXCEPT !.read = truth]}
  /\ UNCHANGED <<instances, newest, disk, queue, readers, untold, told_at, truth, floor>>

\* A load ends well, and reports to its own instance. Storing the result may lag.
LoadSucceeded(l) ==
  LET me == Looking(l.owner)
  IN  /\ l.read # 0
      /\ loads' = loads \ {l}
      /\ IF me.flight = l.generation
         THEN /\ StepOf(l.owner, [me EXCEPT !.value = l.read, !.flight = 0, !.armed = TRUE])
              /\ WriteLater(Stored(l.read, View.generation, Alarm(me, TRUE)))
         ELSE StepOf(l.owner, me) /\ UNCHANGED <<disk, queue>>
      /\ UNCHANGED <<newest, readers, untold, told_at, truth, floor>>

\* An instance without value and flight frees the storage.
FreeBy(i, me) ==
  /\ StepOf(i, [me EXCEPT !.value = 0, !.flight = 0, !.claimed = 0, !.armed = FALSE])
  /\ Write(InvalidationIsDurable, Freed)

\* A load ends badly. What is not needed any more is freed.
LoadFailed(l) ==
  LET me == Looking(l.owner)
  IN  /\ loads' = loads \ {l}
      /\ CASE me.flight # l.generation -> StepOf(l.owner, me) /\ UNCHANGED <<disk, queue>>
           [] me.value # 0 -> StepOf(l.owner, [me EXCEPT !.flight = 0]) /\ UNCHANGED <<disk, queue>>
           [] OTHER -> FreeBy(l.owner, me)
      /\ UNCHANGED <<newest, readers, untold, told_at, truth, floor>>

\* The value is put that is true now, in the owner; its readers are told to forget what they have.
Put ==
  LET me == Looking(newest)
      g == IF PutsClaim THEN NextGeneration(me) ELSE me.claimed
  IN  /\ IsAlive(newest) /\ g <= MaxGeneration /\ untold = {}
      /\ StepOf(newest, Instance(truth, 0, g, Max(g, me.seen), TRUE, me.since))
      /\ WriteNow(Stored(truth, g, Alarm(me, TRUE)))
      /\ untold' = IF ReadersAreTold THEN Readers ELSE {}
      /\ told_at' = truth
      /\ floor' = IF untold' = {} THEN truth ELSE floor
      /\ UNCHANGED <<newest, loads, readers, truth>>

\* The alarm goes off in the instance that gets the requests: the value has expired, or it was too early, and is set again.
AlarmGoesOff ==
  LET me == [Looking(newest) EXCEPT !.armed = FALSE]
  IN  /\ IsAlive(newest) /\ View.alarm
      /\ \/ me.flight = 0 /\ FreeBy(newest, me)
         \/ me.value # 0 /\ StepOf(newest, [me EXCEPT !.armed = TRUE]) /\ UNCHANGED <<disk, queue>>
         \/ me.flight # 0 /\ StepOf(newest, [me EXCEPT !.armed = TRUE]) /\ UNCHANGED <<disk, queue>>
      /\ UNCHANGED <<newest, loads, readers, untold, told_at, truth, floor>>

\* A write reaches the disk.
Flush ==
  /\ queue # <<>>
  /\ disk' = Head(queue)
  /\ queue' = Tail(queue)
  /\ UNCHANGED <<instances, newest, loads, readers, untold, told_at, truth, floor>>

\* An instance that begins with what is stored.
Successor(stored) == Instance(stored.value, 0, stored.generation, stored.generation, FALSE, Later)

\* Another instance takes over, while the old one lives on.
Replaced ==
  /\ newest < MaxInstances
  /\ newest' = newest + 1
  /\ instances' = [instances EXCEPT ![newest + 1] = Successor(View)]
  /\ UNCHANGED <<disk, queue, loads, readers, untold, told_at, truth, floor>>

\* The machine goes down, with the instance and its loads, and what was on its way to the disk. The next one takes over.
Crashed ==
  /\ newest < MaxInstances
  /\ newest' = newest + 1
  /\ instances' = [instances EXCEPT ![newest] = Nobody, ![newest + 1] = Successor(disk)]
  /\ loads' = {l \in loads : l.owner # newest}
  /\ queue' = <<>>
  /\ UNCHANGED <<disk, readers, untold, told_at, truth, floor>>

-----------------------------------------------------------------------------
(* Invalidations, of which one object after the other is told, and readers *)

\* Somebody invalidates the key: from now on all who have it are told, and then it returns.
InvalidationBegins ==
  /\ untold = {}
  /\ untold' = {0} \union (IF ReadersAreTold THEN Readers ELSE {})
  /\ UNCHANGED <<instances, newest, disk, queue, loads, readers, told_at, truth, floor>>

\* Whoever has been told is told no more, and after the last one it returns.
IsTold(who, at) ==
  /\ untold' = untold \ {who}
  /\ told_at' = at
  /\ floor' = IF untold = {who} THEN at ELSE floor

\* The owner is told: a generation is claimed where a flight was attached, so that whoever was replaced finds out; what is
\* not awaited is freed at once.
OwnerIsTold ==
  LET me == Looking(newest)
      g == IF me.flight = 0 THEN me.claimed ELSE NextGeneration(me)
  IN  /\ 0 \in untold /\ (OwnerIsFirst \/ untold = {0})
      /\ IsAlive(newest) /\ g <= MaxGeneration
      /\ IF me.flight # 0
         THEN \/ /\ StepOf(newest, Instance(0, 0, g, Max(g, me.seen), TRUE, me.since))
                 /\ Write(InvalidationIsDurable, Stored(0, g, Alarm(me, TRUE)))
              \/ FreeBy(newest, [me EXCEPT !.seen = Max(g, @)])
         ELSE FreeBy(newest, me)
      /\ IsTold(0, truth)
      /\ UNCHANGED <<newest, loads, readers, truth>>

\* A reader is told: what it holds is gone, and what it has asked for is not kept.
ReaderIsTold(r) ==
  /\ r \in untold
  /\ OwnerIsFirst => 0 \notin untold
  /\ readers' = [readers EXCEPT ![r] = Reader(0, 0)]
  /\ IsTold(r, told_at)
  /\ UNCHANGED <<instances, newest, disk, queue, loads, truth>>

\* A reader that holds nothing asks the owner.
ReaderAsks(r) ==
  /\ readers[r] = Reader(0, 0)
  /\ readers' = [readers EXCEPT ![r].lent = Asked]
  /\ UNCHANGED <<instances, newest, disk, queue, loads, untold, told_at, truth, floor>>

\* The owner lends it what it holds.
OwnerLends(r) ==
  /\ readers[r].lent = Asked
  /\ IsAlive(newest) /\ Looking(newest).value # 0
  /\ StepOf(newest, Looking(newest))
  /\ readers' = [readers EXCEPT ![r].lent = Looking(newest).value]
  /\ UNCHANGED <<newest, disk, queue, loads, untold, told_at, truth, floor>>

\* That comes to the reader, which keeps it.
ReaderIsLent(r) ==
  /\ readers[r].lent > 0
  /\ readers' = [readers EXCEPT ![r] = Reader(@.lent, 0)]
  /\ UNCHANGED <<instances, newest, disk, queue, loads, untold, told_at, truth, floor>>

\* What is true changes.
TruthChanges ==
  /\ truth < MaxTruth
  /\ truth' = truth + 1
  /\ UNCHANGED <<instances, newest, disk, queue, loads, readers, untold, told_at, floor>>

-----------------------------------------------------------------------------

\* Nothing is known, and nothing stored.
Init ==
  /\ instances = [i \in Instances |-> IF i = 1 THEN Instance(0, 0, 0, 0, FALSE, 1) ELSE Nobody]
  /\ newest = 1
  /\ disk = Freed
  /\ queue = <<>>
  /\ loads = {}
  /\ readers = [r \in Readers |-> Reader(0, 0)]
  /\ untold = {}
  /\ told_at = 1
  /\ truth = 1
  /\ floor = 1

\* What can happen.
Next ==
  \/ Start
  \/ \E l \in loads : LoadReads(l)
  \/ \E l \in loads : LoadSucceeded(l)
  \/ \E l \in loads : LoadFailed(l)
  \/ Put
  \/ AlarmGoesOff
  \/ Flush
  \/ Replaced
  \/ Crashed
  \/ InvalidationBegins
  \/ OwnerIsTold
  \/ \E r \in Readers : ReaderIsTold(r)
  \/ \E r \in Readers : ReaderAsks(r)
  \/ \E r \in Readers : OwnerLends(r)
  \/ \E r \in Readers : ReaderIsLent(r)
  \/ TruthChanges

\* The key and its objects; nothing need ever happen.
Spec == Init /\ [][Next]_vars

-----------------------------------------------------------------------------
(* What it promises *)

\* NoStaleRead, across owners and readers: what is served was not read before an invalidation that had returned.
NoStaleReadInv ==
  /\ instances[newest].value # 0 => instances[newest].value >= floor
  /\ \A r \in Readers : readers[r].value # 0 => readers[r].value >= floor

\* NoStaleSet, across owners: of all loads in the air one at most is still to be stored, however many instances live.
NoStaleSetInv ==
  \A l, other \in {l \in loads : Looking(l.owner).flight = l.generation} : l = other

\* Nothing is left behind: whatever is stored, an alarm is set that will free it.
AlarmInv == View # Freed => View.alarm

-----------------------------------------------------------------------------
(* What must be possible: TLC has to refute these *)

\* A load outlives the instance's time while the next one's is under way.
NeverTwoOwnersLoads == ~(\E l \in loads : l.owner < newest /\ instances[newest].flight # 0)

\* The late result of an instance that was replaced is dropped by itself.
NeverALateResult ==
  ~(\E l \in loads : l.read # 0 /\ instances[l.owner].flight = l.generation /\ Looking(l.owner).flight = 0)

\* The storage is freed while a load of a replaced instance is in the air.
NeverFreedMeanwhile == ~(View = Freed /\ \E l \in loads : l.owner < newest)

\* A reader is lent something that is invalidated before it comes.
NeverLentTooLate == ~(\E r \in Readers : readers[r].lent > 0 /\ 0 \notin untold /\ r \in untold)
=============================================================================
