----------------------------- MODULE TraceFleet -----------------------------
(***************************************************************************)
(* Whether what the processes of a real fleet wrote is a behaviour of      *)
(* Fleet.tla.                                                              *)
(*                                                                         *)
(* herdless_verify.soak.fleet.traces.py turns what was written of one key,  *)
(* in the order of its versions, into a module that extends this one: for  *)
(* each write who made it, of which kind it was, and what came of it. What *)
(* is not in a record is put in between: that the writer looked up, read,  *)
(* waited, loaded, and what was true by then. Writes that no way leads to  *)
(* are no behaviour.                                                       *)
(*                                                                         *)
(* Time does not pass here: of leases only those are over whose holders    *)
(* died, and nothing expires.                                              *)
(***************************************************************************)
EXTENDS Fleet, Sequences

CONSTANT Writes  \* what was written

VARIABLE i       \* how many of the writes have been followed

\* Of one write: its kind, by whom; and what lies there then: the state, what it holds, and the flight that it has.
Wrote(kind, p, state, value, g) == [kind |-> kind, p |-> p, state |-> state, value |-> value, g |-> g]

\* The write that comes next.
This == Writes[i + 1]

\* What lies in the store is what was recorded.
Agrees ==
  /\ entry'.state = This.state
  /\ entry'.flight.generation = This.g
  /\ (IF HasOutcome(entry') THEN entry'.value ELSE 0) = This.value

\* The flights of a process.
Of1(p) == {a \in Asks : a[1] = p}

\* The next write is made, by an action of the fleet, and comes to what was recorded.
Follow ==
  /\ i < Len(Writes) /\ i' = i + 1
  /\ CASE This.kind = "claim" -> \E a \in Of1(This.p) : React(a) /\ generation' = generation + 1
       [] This.kind = "end" -> \E a \in Of1(This.p) : Write(a)
       [] This.kind = "put" -> PutRecord(This.p)
       [] This.kind = "expire" -> ExpireRecord(This.p)
       [] This.kind = "leave" -> \E a \in Of1(This.p) : LeaveRecord(a)
       [] This.kind = "killed" -> Crash(This.p)
       [] OTHER -> \E p \in Processes : InvalidateRecord(p)
  /\ Agrees

\* A near cache lets go of what it holds: it was told to, or had no room.
LetGo(p) ==
  /\ near[p] # NothingNear /\ near' = [near EXCEPT ![p] = NothingNear]
  /\ UNCHANGED <<told, trust, blind, linked, ofWorld, ofEntry, asks, loads, generation, given, left>>

\* Whoever writes next does what leads there, and the truth becomes what its load is to read.
Between ==
  /\ i < Len(Writes) /\ UNCHANGED <<i, ofStore>>
  /\ \/ LookUp(This.p)
     \/ LetGo(This.p)
     \/ \E a \in Of1(This.p) :
          Read(a) \/ React(a) \/ Wake(a) \/ MissHolder(a) \/ LoadReadsTruth(a) \/ LoadEnds(a) \/ BeFenced(a) \/ Leave(a)
     \/ ChangeTruth

\* All that a trace is followed by.
traceVars == <<fleetVars, i>>

\* The writes, one after the other.
TraceSpec == FleetInit /\ i = 0 /\ [][Follow \/ Between]_traceVars

\* TLC has to refute this one: the way that it finds is the behaviour.
NeverFollowed == i < Len(Writes)
=============================================================================
