-------------------------------- MODULE Fleet --------------------------------
(***************************************************************************)
(* One key of a fleet: a record in a store, processes with near caches,    *)
(* and messages that tell them of changes, late or never.                  *)
(*                                                                         *)
(* The record is the entry of CacheEntry.tla, and moves by its steps       *)
(* alone; what is new is who takes them: processes that read, step what    *)
(* they saw, and write by compare-and-set. A lease that is over is         *)
(* RestartedStep. A near cache is, seen from here, a value and the flights *)
(* that may bring one: CacheEntry.tla has been checked for the rest.       *)
(*                                                                         *)
(* Every rule of a fleet is a constant, and for each of them there is a    *)
(* configuration without it, which TLC has to refute.                      *)
(***************************************************************************)
EXTENDS CacheEntry

CONSTANTS
  Processes, Slots,    \* who there is; how many flights of its near cache one process may have at once
  Askers,              \* who looks the key up
  Listeners,           \* who is told of changes; the others keep for Staleness what they read
  Invalidators, Putters, Expirers,
  Lease, Staleness,    \* in ticks
  MaxBreaks,           \* how many connections break,
  MaxCrashes,          \* processes die,
  MaxLosses,           \* times the store comes back empty,
  MaxChanges,          \* invalidations, puts and expirations there are,
  MaxLeaves,           \* and times all leave who wait for a flight of a near cache
  MaxTold,             \* messages on their way to one process
  MayFail,             \* whether loads may fail
  KnowsTheLiving,      \* whether a flight is given up too whose holder does not listen any more
  RenewsInTime,        \* whether a holder that lives never lets its lease run out
  Fences,              \* rule: a result is stored only where its flight is still the record's
  LeaseInToken,        \* rule: a lease that was renewed is another record to compare-and-set
  TrustEnds,           \* rule: a near cache is not trusted for longer than Staleness after what it last heard was sent
  Drops,               \* rule: what is told of a change is dropped
  JoinsOnlyYoung,      \* rule: without trust nobody joins a flight that began more than Staleness ago
  ForgetsOnTrust,      \* rule: when trust returns, what was read without it is not kept
  AgesFromTheLoad,     \* rule: a near cache keeps a value for as long as the record does, and not for a ttl of its own
  VoidsClaims          \* rule: who leaves voids a claim of its own that may be on its way to the store

VARIABLES
  lease,     \* ticks until the holder is taken for dead
  settled,   \* the flight that ended last, and how
  asks,      \* flights of near caches: what each has seen of the record, and what it leads or waits for
  near,      \* what each near cache holds
  told,      \* messages on their way, in order
  trust,     \* for how many ticks each near cache may still be trusted
  blind,     \* whether it knows that it may not
  linked,    \* whether messages are sent to it: "up"; "broken", and it has not noticed; "down", until it is up again
  owed,      \* for each truth, in how many ticks it binds every lookup of the fleet
  own,       \* the truth when a process itself last changed the key
  given,     \* whether the last answer to a flight was as new as it had to be
  left       \* how many misfortunes and changes are left

\* All of it.
fleetVars ==
  <<entry, detached, loads, clients, truth, floor, generation, effects,
    lease, settled, asks, near, told, trust, blind, linked, owed, own, given, left>>

\* What the store has.
ofStore == <<entry, lease, settled>>

\* What processes hold and hear.
ofNear == <<near, told, trust, blind, linked>>

\* What is true, and binds.
ofWorld == <<truth, floor, owed, own>>

\* What CacheEntry.tla has beside the record.
ofEntry == <<detached, clients, effects>>

-----------------------------------------------------------------------------
(* Records and flights *)

\* The flights that there may be.
Asks == Processes \X Slots

\* The instant of a truth that binds nobody.
NotOwed == 98

\* A near cache without a value.
NothingNear == [value |-> 0, is_full |-> TRUE, rest |-> 0, until |-> 0, age |-> 0]

\* The record of a key of which nothing is known.
NothingSeen == [entry |-> Absent, lease |-> 0, settled |-> <<0, 0>>]

\* What lies in the store.
Record == [entry |-> entry, lease |-> lease, settled |-> settled]

\* No flight: it is at no point, has seen nothing, and is owed nothing. `same`: the record is still the one that it saw;
\* `gone`: the holder of the flight that it waits for does not listen; `late`: a claim of one who left is on its way.
IdleAsk ==
  [pc |-> "idle", need |-> 0, attached |-> FALSE, seen |-> NothingSeen, same |-> FALSE, gone |-> FALSE, late |-> FALSE,
   g |-> 0, value |-> 0, age |-> 0]

\* The flights after somebody wrote: nobody has seen what is there now, and no claim on its way expects it.
Written(as) == [a \in Asks |-> [as[a] EXCEPT !.same = FALSE, !.late = FALSE]]

\* The flights after a process let go of what it knew: none of its own may be joined or kept.
Detached(p, as) == [a \in Asks |-> IF a[1] = p THEN [as[a] EXCEPT !.attached = FALSE] ELSE as[a]]

\* What every lookup in the fleet is owed now.
Owed == LET bound == {v \in 1 .. MaxTruth : owed[v] = 0} \union {1} IN CHOOSE v \in bound : \A w \in bound : w <= v

\* What a lookup in this process is owed now.
Promised(p) == Max(Owed, own[p])

\* The flights that newcomers in this process may join.
Joinable(p) == {a \in Asks : a[1] = p /\ asks[a].attached}

\* Whether the near cache answers.
CanHit(p) ==
  /\ near[p].value > 0
  /\ IF near[p].is_full THEN ~blind[p] /\ (trust[p] > 0 \/ ~TrustEnds) ELSE TRUE

\* The near cache after a flight brought what an entry of the record says: kept where that is fresh, and the flight is
\* still its own; for Staleness from the flight's beginning where nothing can be heard.
NearAfter(a, value, e) ==
  LET p == a[1]
      rest == Staleness - asks[a].age
      until == IF AgesFromTheLoad THEN e.hit_until ELSE Ttl
  IN  IF asks[a].attached /\ e.state = "Fresh" /\ e.value = value /\ ~IsError(value) /\ until > 0 /\ (~blind[p] \/ rest > 0)
      THEN [near EXCEPT ![p] = [value |-> value, is_full |-> ~blind[p], rest |-> IF blind[p] THEN rest ELSE 0,
                                until |-> until, age |-> e.age]]
      ELSE near

\* Who waits for the flight gets this.
Give(a, value) == given' = (IsError(value) \/ value >= asks[a].need)

-----------------------------------------------------------------------------
(* Lookups *)

\* A lookup past the trust finds that out first.
Distrust(p) ==
  /\ TrustEnds /\ ~blind[p] /\ trust[p] = 0
  /\ blind' = [blind EXCEPT ![p] = TRUE]
  /\ near' = [near EXCEPT ![p] = NothingNear]
  /\ asks' = Detached(p, asks)
  /\ UNCHANGED <<ofStore, ofWorld, ofEntry, loads, generation, told, trust, linked, given, left>>

\* Without trust, a flight too old to be joined is left to those who wait for it.
Forsake(p) ==
  /\ JoinsOnlyYoung /\ blind[p]
  /\ \E a \in Joinable(p) : asks[a].age >= Staleness /\ asks' = [asks EXCEPT ![a].attached = FALSE]
  /\ UNCHANGED <<ofStore, ofNear, ofWorld, ofEntry, loads, generation, given, left>>

\* A lookup that the near cache does not answer joins the flight there, or begins one.
LookUp(p) ==
  /\ p \in Askers
  /\ ~(TrustEnds /\ ~blind[p] /\ trust[p] = 0)
  /\ ~(JoinsOnlyYoung /\ blind[p] /\ \E a \in Joinable(p) : asks[a].age >= Staleness)
  /\ ~CanHit(p)
  /\ IF Joinable(p) # {}
     THEN \E a \in Joinable(p) : asks' = [asks EXCEPT ![a].need = Max(@, Promised(p))]
     ELSE \E a \in Asks :
            /\ a[1] = p /\ asks[a] = IdleAsk
            /\ \A other \in Asks : other[1] = p /\ asks[other] = IdleAsk => a[2] <= other[2]
            /\ asks' = [asks EXCEPT ![a] = [IdleAsk EXCEPT !.pc = "ask", !.need = Promised(p), !.attached = TRUE]]
  /\ UNCHANGED <<ofStore, ofNear, ofWorld, ofEntry, loads, generation, given, left>>

\* The store answers a read.
Read(a) ==
  /\ asks[a].pc = "ask"
  /\ asks' = [asks EXCEPT ![a].pc = "seen", ![a].seen = Record, ![a].same = TRUE]
  /\ UNCHANGED <<ofStore, ofNear, ofWorld, ofEntry, loads, generation, given, left>>

\* The record's entry as a flight sees it: without its own flight where the lease is over, or the holder gone.
Current(seen, gone) ==
  IF HasFlight(seen.entry) /\ (seen.lease = 0 \/ gone) THEN RestartedStep(Aged(seen.entry)).entry ELSE Aged(seen.entry)

\* The flight has its answer from the record.
Fetch(a, value) ==
  /\ Give(a, value)
  /\ near' = NearAfter(a, value, Current(asks[a].seen, FALSE))
  /\ asks' = [asks EXCEPT ![a] = IdleAsk]
  /\ UNCHANGED <<ofStore, loads, generation>>

\* Somebody else's flight is waited for.
Park(a, g) ==
  /\ asks' = [asks EXCEPT ![a].pc = "park", ![a].g = g, ![a].seen = NothingSeen, ![a].gone = FALSE]
  /\ UNCHANGED <<ofStore, near, given, loads, generation>>

\* A step that starts a load counts if nobody has written since. Its caller waits, or has its answer already.
Claim(a, step, answers) ==
  IF asks[a].same
  THEN /\ generation < MaxGeneration
       /\ entry' = step.entry /\ lease' = Lease /\ settled' = settled
       /\ generation' = generation + 1
       /\ loads' = loads \union {Load(generation + 1, 0)}
       /\ IF answers = {}
          THEN /\ asks' = Written([asks EXCEPT ![a] = [@ EXCEPT !.pc = "lead", !.g = generation + 1, !.seen = NothingSeen,
                                                                !.gone = FALSE]])
               /\ UNCHANGED given
          ELSE /\ asks' = Written([asks EXCEPT ![a] = [IdleAsk EXCEPT !.pc = "lead", !.g = generation + 1]])
               /\ \E answer \in answers : Give(a, answer.outcome.value)
       /\ UNCHANGED near
  ELSE /\ asks' = [asks EXCEPT ![a].seen = Record, ![a].same = TRUE]
       /\ UNCHANGED <<ofStore, near, given, loads, generation>>

\* What was seen is stepped: the outcome of the flight that was waited for, an answer, another's flight, or a load.
React(a) ==
  LET seen == asks[a].seen
      step == GetStep(Current(seen, asks[a].gone), generation + 1, FALSE)
      answers == Of(step.effects, "Answer")
  IN  /\ asks[a].pc = "seen"
      /\ CASE asks[a].g # 0 /\ seen.settled[1] = asks[a].g -> Fetch(a, seen.settled[2])
           [] Of(step.effects, "StartLoad") = {} /\ answers # {} ->
                \E answer \in answers : Fetch(a, answer.outcome.value)
           [] Of(step.effects, "StartLoad") = {} /\ answers = {} -> Park(a, step.entry.flight.generation)
           [] OTHER -> Claim(a, step, answers)
      /\ UNCHANGED <<told, trust, blind, linked, ofWorld, ofEntry, left>>

\* Told, or of its own accord: who waits looks again.
Wake(a) ==
  /\ asks[a].pc = "park" /\ (~asks[a].same \/ lease = 0)
  /\ asks' = [asks EXCEPT ![a].pc = "ask"]
  /\ UNCHANGED <<ofStore, ofNear, ofWorld, ofEntry, loads, generation, given, left>>

\* The flights that lead the one of the record.
Holders == {b \in Asks : asks[b].pc \in {"lead", "done"} /\ asks[b].g = entry.flight.generation}

\* The holder does not listen, and so is taken for dead by who waits.
MissHolder(a) ==
  /\ KnowsTheLiving /\ asks[a].pc = "park" /\ asks[a].g = entry.flight.generation
  /\ \A b \in Holders : linked[b[1]] # "up"
  /\ asks' = [asks EXCEPT ![a].pc = "ask", ![a].gone = TRUE]
  /\ UNCHANGED <<ofStore, ofNear, ofWorld, ofEntry, loads, generation, given, left>>

\* The load of a flight reads the truth.
LoadReadsTruth(a) ==
  /\ asks[a].pc = "lead" /\ Load(asks[a].g, 0) \in loads
  /\ loads' = (loads \ {Load(asks[a].g, 0)}) \union {Load(asks[a].g, truth)}
  /\ UNCHANGED <<ofStore, ofNear, ofWorld, ofEntry, asks, generation, given, left>>

\* The load ends, by what it read or by an error.
LoadEnds(a) ==
  /\ asks[a].pc = "lead"
  /\ \E l \in loads :
       /\ l.generation = asks[a].g /\ l.read # 0
       /\ loads' = loads \ {l}
       /\ \E value \in {l.read} \union (IF MayFail THEN {LoaderError} ELSE {}) :
            asks' = [asks EXCEPT ![a].pc = "done", ![a].value = value]
  /\ UNCHANGED <<ofStore, ofNear, ofWorld, ofEntry, generation, given, left>>

\* The machine's step for the end of a load, on the record as it is now.
EndStep(a) ==
  IF IsError(asks[a].value)
  THEN LoadFailedStep(Aged(entry), asks[a].g, asks[a].value)
  ELSE LoadSucceededStep(Aged(entry), asks[a].g, asks[a].value, LifetimeOf(Ttl), 0)

\* What those who wait for the load get.
Settlement(a) == (CHOOSE s \in Of(EndStep(a).effects, "Settle") : s.generation = asks[a].g).outcome.value

\* The result is written: a swap that is lost is tried again on what is there, so what counts is the record now.
Write(a) ==
  /\ asks[a].pc = "done" /\ (entry.flight.generation = asks[a].g \/ ~Fences)
  /\ LET after == IF entry.flight.generation = asks[a].g THEN EndStep(a).entry ELSE NewFresh(asks[a].value, LifetimeOf(Ttl), 0)
     IN  /\ entry' = after /\ lease' = 0 /\ settled' = <<asks[a].g, Settlement(a)>>
         /\ near' = NearAfter(a, Settlement(a), after)
  /\ Give(a, Settlement(a))
  /\ asks' = Written([asks EXCEPT ![a] = IdleAsk])
  /\ UNCHANGED <<told, trust, blind, linked, ofWorld, ofEntry, loads, generation, left>>

\* Another took the flight's place: who waits here is answered, and nothing of it is kept.
BeFenced(a) ==
  /\ asks[a].pc = "done" /\ entry.flight.generation # asks[a].g /\ Fences
  /\ Give(a, asks[a].value)
  /\ asks' = [asks EXCEPT ![a] = IdleAsk]
  /\ UNCHANGED <<ofStore, ofNear, ofWorld, ofEntry, loads, generation, left>>

\* The store cannot be reached at the end of a load: as though fenced, and the record keeps a flight without holder.
GiveAlone(a) ==
  /\ asks[a].pc = "done" /\ left.breaks > 0 /\ left' = [left EXCEPT !.breaks = @ - 1]
  /\ Give(a, asks[a].value)
  /\ asks' = [asks EXCEPT ![a] = IdleAsk]
  /\ UNCHANGED <<ofStore, ofNear, ofWorld, ofEntry, loads, generation>>

\* The holder says that it lives.
Renew(a) ==
  /\ asks[a].pc = "lead" /\ entry.flight.generation = asks[a].g /\ lease < Lease
  /\ lease' = Lease
  /\ asks' = IF LeaseInToken THEN Written(asks) ELSE asks
  /\ UNCHANGED <<entry, settled, ofNear, ofWorld, ofEntry, loads, generation, given, left>>

-----------------------------------------------------------------------------
(* Callers who leave *)

\* The step of a claim that is on its way.
LateStep == GetStep(Current(Record, FALSE), generation + 1, FALSE)

\* All leave who wait for a flight: its claim is on its way, or its load runs and is cancelled.
Leave(a) ==
  /\ left.leaves > 0 /\ left' = [left EXCEPT !.leaves = @ - 1]
  /\ \/ /\ asks[a].pc = "seen" /\ asks[a].same /\ Of(LateStep.effects, "StartLoad") # {}
        /\ asks' = [asks EXCEPT ![a] = [IdleAsk EXCEPT !.pc = "leave", !.late = TRUE]]
        /\ UNCHANGED loads
     \/ /\ asks[a].pc = "lead"
        /\ asks' = [asks EXCEPT ![a] = [IdleAsk EXCEPT !.pc = "leave", !.g = asks[a].g]]
        /\ loads' = {l \in loads : l.generation # asks[a].g}
  /\ UNCHANGED <<ofStore, ofNear, ofWorld, ofEntry, generation, given>>

\* The claim arrives, and finds what it expects: nobody will load.
ArriveLate(a) ==
  /\ asks[a].late /\ generation < MaxGeneration /\ Of(LateStep.effects, "StartLoad") # {}
  /\ entry' = LateStep.entry /\ lease' = Lease
  /\ generation' = generation + 1
  /\ asks' = Written([asks EXCEPT ![a].g = IF asks[a].pc = "leave" THEN generation + 1 ELSE 0])
  /\ UNCHANGED <<settled, ofNear, ofWorld, ofEntry, loads, given, left>>

\* What was claimed is free for others. Where the claim is not there, what it expects is written anew.
LeaveRecord(a) ==
  /\ asks[a].pc = "leave"
  /\ IF asks[a].g # 0 /\ entry.flight.generation = asks[a].g
     THEN LET known == WaiterLeftStep(Aged(entry), asks[a].g, TRUE).entry
          IN  /\ entry' = IF HasFlight(known) THEN RestartedStep(known).entry ELSE known
              /\ lease' = 0
              /\ asks' = Written([asks EXCEPT ![a] = IdleAsk])
     ELSE /\ asks' = IF asks[a].late /\ VoidsClaims
                     THEN Written([asks EXCEPT ![a] = IdleAsk])
                     ELSE [asks EXCEPT ![a] = [IdleAsk EXCEPT !.late = asks[a].late]]
          /\ UNCHANGED <<entry, lease>>
  /\ UNCHANGED <<settled, ofNear, ofWorld, ofEntry, loads, generation, given, left>>

-----------------------------------------------------------------------------
(* Changes, and how they become known *)

\* All who listen are told, and the process itself has let go of what it knew.
Tell(p) ==
  /\ \A q \in Listeners : Len(told[q]) < MaxTold
  /\ told' = [q \in Processes |->
       IF q \in Listeners /\ linked[q] = "up" /\ q # p THEN Append(told[q], <<"drop", 0>>) ELSE told[q]]
  /\ near' = [near EXCEPT ![p] = NothingNear]
  /\ asks' = Detached(p, Written(asks))
  /\ UNCHANGED <<trust, blind, linked>>

\* One of the changes that there may be.
OneChange == left.changes > 0 /\ left' = [left EXCEPT !.changes = @ - 1]

\* The truth of now binds: this process at once, every other one when Staleness has passed.
Bind(p) ==
  /\ floor' = truth
  /\ own' = [own EXCEPT ![p] = truth]
  /\ owed' = [owed EXCEPT ![truth] = IF @ = NotOwed THEN Staleness ELSE @]
  /\ UNCHANGED truth

\* A process invalidates: the record is deleted.
InvalidateRecord(p) ==
  /\ p \in Invalidators /\ OneChange /\ Tell(p) /\ Bind(p)
  /\ entry' = Absent /\ lease' = 0 /\ settled' = <<0, 0>>
  /\ UNCHANGED <<ofEntry, loads, generation, given>>

\* A process puts what is true: whoever waits for a flight gets it, and the flight is superseded.
PutRecord(p) ==
  /\ p \in Putters /\ OneChange /\ Tell(p) /\ Bind(p)
  /\ LET known == Current(Record, FALSE)
     IN  /\ \E age \in Ages : entry' = PutStep(known, truth, LifetimeOf(Ttl), age).entry
         /\ settled' = IF HasFlight(known) THEN <<known.flight.generation, truth>> ELSE settled
  /\ lease' = 0
  /\ UNCHANGED <<ofEntry, loads, generation, given>>

\* A process makes a fresh value stale, which binds nobody.
ExpireRecord(p) ==
  /\ p \in Expirers /\ OneChange
  /\ LET known == Current(Record, FALSE)
         after == ExpireStep(known).entry
     IN  IF after # entry
         THEN Tell(p) /\ entry' = after /\ lease' = (IF HasFlight(after) THEN lease ELSE 0)
         ELSE near' = [near EXCEPT ![p] = NothingNear] /\ asks' = Detached(p, asks)
              /\ UNCHANGED <<entry, lease, told, trust, blind, linked>>
  /\ UNCHANGED <<settled, ofWorld, ofEntry, loads, generation, given>>

\* The store has seen a question; it is counted from now, which is later than it was sent.
Pong(p) ==
  /\ p \in Listeners /\ linked[p] = "up" /\ Len(told[p]) < MaxTold
  /\ told' = [told EXCEPT ![p] = Append(@, <<"pong", 0>>)]
  /\ UNCHANGED <<ofStore, near, trust, blind, linked, ofWorld, ofEntry, asks, loads, generation, given, left>>

\* A message arrives: a change is dropped, the answer to a question gives trust.
Deliver(p) ==
  /\ told[p] # <<>>
  /\ told' = [told EXCEPT ![p] = Tail(@)]
  /\ LET message == Head(told[p])
         more == Staleness - message[2]
         regains == message[1] = "pong" /\ more > 0
         forgets == IF message[1] = "drop" THEN Drops ELSE blind[p] /\ regains /\ ForgetsOnTrust
     IN  /\ near' = IF forgets THEN [near EXCEPT ![p] = NothingNear] ELSE near
         /\ asks' = IF forgets THEN Detached(p, asks) ELSE asks
         /\ trust' = IF regains THEN [trust EXCEPT ![p] = Max(@, more)] ELSE trust
         /\ blind' = IF regains THEN [blind EXCEPT ![p] = FALSE] ELSE blind
  /\ UNCHANGED <<ofStore, linked, ofWorld, ofEntry, loads, generation, given, left>>

-----------------------------------------------------------------------------
(* Misfortunes, and time *)

\* A connection breaks, and the process is not told.
Break(p) ==
  /\ p \in Listeners /\ linked[p] = "up"
  /\ left.breaks > 0 /\ left' = [left EXCEPT !.breaks = @ - 1]
  /\ linked' = [linked EXCEPT ![p] = "broken"]
  /\ told' = [told EXCEPT ![p] = <<>>]
  /\ UNCHANGED <<ofStore, near, trust, blind, ofWorld, ofEntry, asks, loads, generation, given>>

\* The process notices.
Notice(p) ==
  /\ linked[p] = "broken"
  /\ linked' = [linked EXCEPT ![p] = "down"]
  /\ trust' = [trust EXCEPT ![p] = 0]
  /\ blind' = [blind EXCEPT ![p] = TRUE]
  /\ near' = [near EXCEPT ![p] = NothingNear]
  /\ asks' = Detached(p, asks)
  /\ UNCHANGED <<ofStore, told, ofWorld, ofEntry, loads, generation, given, left>>

\* It connects anew; what was told in between is lost.
Link(p) ==
  /\ linked[p] = "down"
  /\ linked' = [linked EXCEPT ![p] = "up"]
  /\ UNCHANGED <<ofStore, near, told, trust, blind, ofWorld, ofEntry, asks, loads, generation, given, left>>

\* kill -9 of a process, and another takes its place: its loads die with it, its lease does not.
Crash(p) ==
  /\ left.crashes > 0 /\ left' = [left EXCEPT !.crashes = @ - 1]
  /\ loads' = {l \in loads : ~\E a \in Asks : a[1] = p /\ asks[a].pc = "lead" /\ asks[a].g = l.generation}
  /\ asks' = [a \in Asks |-> IF a[1] = p THEN IdleAsk ELSE asks[a]]
  /\ near' = [near EXCEPT ![p] = NothingNear]
  /\ told' = [told EXCEPT ![p] = <<>>]
  /\ trust' = [trust EXCEPT ![p] = 0]
  /\ blind' = [blind EXCEPT ![p] = TRUE]
  /\ linked' = [linked EXCEPT ![p] = "down"]
  /\ own' = [own EXCEPT ![p] = 1]
  /\ UNCHANGED <<ofStore, truth, floor, owed, ofEntry, generation, given>>

\* kill -9 of the store, which comes back empty.
StoreLoses ==
  /\ left.losses > 0 /\ left' = [left EXCEPT !.losses = @ - 1]
  /\ entry' = Absent /\ lease' = 0 /\ settled' = <<0, 0>>
  /\ asks' = Written(asks)
  /\ told' = [p \in Processes |-> <<>>]
  /\ linked' = [p \in Processes |-> IF linked[p] = "up" THEN "broken" ELSE linked[p]]
  /\ UNCHANGED <<near, trust, blind, ofWorld, ofEntry, loads, generation, given>>

\* What is true changes.
ChangeTruth ==
  /\ truth < MaxTruth
  /\ truth' = truth + 1
  /\ UNCHANGED <<ofStore, ofNear, floor, owed, own, ofEntry, asks, loads, generation, given, left>>

\* A near cache one tick later; what may not be answered any more is nothing.
LaterNear(n) ==
  LET later == [n EXCEPT !.until = Nearer(@), !.rest = Max(@ - 1, 0), !.age = Older(@)]
  IN  IF later.until = 0 \/ (~later.is_full /\ later.rest = 0) THEN NothingNear ELSE later

\* A flight one tick later.
LaterAsk(k) ==
  CASE k.pc = "idle" -> k
    [] k.pc = "seen" -> [k EXCEPT !.age = Min(@ + 1, Staleness), !.seen.entry = Later(@), !.seen.lease = Max(@ - 1, 0)]
    [] OTHER -> [k EXCEPT !.age = IF k.attached THEN Min(@ + 1, Staleness) ELSE 0]

\* A message one tick later.
LaterMessage(m) == IF m[1] = "pong" THEN <<"pong", Min(m[2] + 1, Staleness)>> ELSE m

\* Time passes, for the store and all processes alike.
PassTime ==
  /\ ~(RenewsInTime /\ lease = 1 /\ Holders # {})
  /\ entry' = Later(entry)
  /\ lease' = Max(lease - 1, 0)
  /\ trust' = [p \in Processes |-> Max(trust[p] - 1, 0)]
  /\ owed' = [v \in 1 .. MaxTruth |-> IF owed[v] = NotOwed THEN NotOwed ELSE Max(owed[v] - 1, 0)]
  /\ told' = [p \in Processes |-> [i \in DOMAIN told[p] |-> LaterMessage(told[p][i])]]
  /\ near' = [p \in Processes |-> LaterNear(near[p])]
  /\ asks' = [a \in Asks |-> LaterAsk(asks[a])]
  /\ UNCHANGED <<settled, blind, linked, truth, floor, own, ofEntry, loads, generation, given, left>>

\* Nothing is stored, held, asked or told.
FleetInit ==
  /\ Init
  /\ lease = 0 /\ settled = <<0, 0>>
  /\ asks = [a \in Asks |-> IdleAsk]
  /\ near = [p \in Processes |-> NothingNear]
  /\ told = [p \in Processes |-> <<>>]
  /\ trust = [p \in Processes |-> 0]
  /\ blind = [p \in Processes |-> TRUE]
  /\ linked = [p \in Processes |-> "up"]
  /\ owed = [v \in 1 .. MaxTruth |-> NotOwed]
  /\ own = [p \in Processes |-> 1]
  /\ given = TRUE
  /\ left = [breaks |-> MaxBreaks, crashes |-> MaxCrashes, losses |-> MaxLosses, changes |-> MaxChanges,
              leaves |-> MaxLeaves]

\* What a flight does by itself.
Work(a) ==
  Read(a) \/ React(a) \/ Wake(a) \/ MissHolder(a) \/ LoadReadsTruth(a) \/ LoadEnds(a) \/ Write(a) \/ BeFenced(a)
    \/ LeaveRecord(a)

\* What can happen.
FleetStep ==
  \/ \E p \in Processes : Distrust(p)
  \/ \E p \in Processes : Forsake(p)
  \/ \E p \in Processes : LookUp(p)
  \/ \E a \in Asks : Read(a)
  \/ \E a \in Asks : React(a)
  \/ \E a \in Asks : Wake(a)
  \/ \E a \in Asks : MissHolder(a)
  \/ \E a \in Asks : LoadReadsTruth(a)
  \/ \E a \in Asks : LoadEnds(a)
  \/ \E a \in Asks : Write(a)
  \/ \E a \in Asks : BeFenced(a)
  \/ \E a \in Asks : GiveAlone(a)
  \/ \E a \in Asks : Renew(a)
  \/ \E a \in Asks : Leave(a)
  \/ \E a \in Asks : ArriveLate(a)
  \/ \E a \in Asks : LeaveRecord(a)
  \/ \E p \in Processes : InvalidateRecord(p)
  \/ \E p \in Processes : PutRecord(p)
  \/ \E p \in Processes : ExpireRecord(p)
  \/ \E p \in Processes : Pong(p)
  \/ \E p \in Processes : Deliver(p)
  \/ \E p \in Processes : Break(p)
  \/ \E p \in Processes : Notice(p)
  \/ \E p \in Processes : Link(p)
  \/ \E p \in Processes : Crash(p)
  \/ StoreLoses
  \/ ChangeTruth
  \/ PassTime

\* The fleet; nothing need ever happen.
FleetSpec == FleetInit /\ [][FleetStep]_fleetVars

\* The fleet where time goes on, loads end, and flights do what they can.
FleetSpecWhereLoadsEnd ==
  FleetSpec /\ WF_fleetVars(PassTime) /\ \A a \in Asks : WF_fleetVars(Work(a)) /\ WF_fleetVars(Renew(a))

-----------------------------------------------------------------------------
(* What is promised *)

\* NoStaleSet, in the store: it holds nothing that was read before the last invalidation or put.
NoStaleSetInv == HasOutcome(entry) /\ ~IsError(entry.value) => entry.value >= floor

\* NoStaleRead, of near hits: a lookup that begins more than Staleness after an invalidation or a put returned, or in the
\* process that made it at any time after, is never answered with a value read before it.
NoStaleHitInv == \A p \in Processes : CanHit(p) => near[p].value >= Promised(p)

\* NoStaleRead, of lookups that wait for a flight: the same.
NoStaleGiveInv == given

\* HitAge, of near hits: the value is younger than the ttl, counted from the start of its load, wherever that ran.
NearHitAgeInv == \A p \in Processes : CanHit(p) => near[p].age < Ttl

\* SingleFlight, of the fleet: a load starts only where no lease is live, or its holder was not heard of.
LeaseProp == [][generation' > generation => ~HasFlight(entry) \/ lease = 0 \/ KnowsTheLiving]_fleetVars

\* SingleFlight, of the fleet where nobody dies and leases are renewed in time: one load is in the air.
OneLoadInv == Cardinality(loads) <= 1

\* SingleFlight, of the fleet where nobody dies and nobody is cut off: a flight in the record is led, or just given up, so
\* that nobody waits for a lease to end.
LedFlightInv ==
  HasFlight(entry) /\ lease > 0 =>
    \E a \in Asks : asks[a].pc \in {"lead", "done", "leave"} /\ asks[a].g = entry.flight.generation

\* EveryGetAnswered, of the fleet: whoever asks is answered, whoever dies, if loads end and time passes.
FleetAnswersLive == \A a \in Asks : asks[a].pc # "idle" ~> asks[a].pc = "idle"

\* TLC has to refute this one: the load of a superseded holder ends while another holds the lease.
NeverALateHolder == ~\E a, b \in Asks : asks[a].pc = "done" /\ asks[b].pc = "lead" /\ entry.flight.generation = asks[b].g

\* TLC has to refute this one: a near cache answers while what it holds is no longer true, within the bound.
NeverAnOldHit == ~\E p \in Processes : CanHit(p) /\ near[p].value < floor

\* TLC has to refute this one: who waited for another process's flight is told how it ended.
NeverAJoinedFlight == ~\E a \in Asks : asks[a].pc = "seen" /\ asks[a].g # 0 /\ asks[a].seen.settled[1] = asks[a].g
=============================================================================
